import { exitCodes } from '../config/exit-codes.ts'
import { connectToStowage, everyPage, isoTime, jsonText, tableText, type StowageCall } from './aws/stowage-calls.ts'
import type { CommandIo } from './command-io.ts'
import type { EventsOptions } from './events.ts'

/** As the service answers it; times are seconds since the Unix epoch. */
interface DeadLetter {
  readonly deadLetterId: number
  readonly ruleName: string
  readonly targetId: string
  readonly destinationName: string
  readonly eventId: string
  readonly event: string
  readonly reason: string
  readonly attempts: number
  readonly queuedAt: number
  readonly diedAt: number
}

/** As many as one call takes. */
const mostPerCall = 100

export async function listDeadLetters(io: CommandIo, options: EventsOptions): Promise<number> {
  const letters = await everyLetter(await connectToStowage(options))
  const rows = letters.map((letter) => [String(letter.deadLetterId), isoTime(letter.diedAt), letter.ruleName, letter.destinationName, typeOf(letter), String(letter.attempts), letter.reason])
  io.stdout.write(options.json ? jsonText(letters.map(forPeople)) : tableText(['number', 'given up', 'rule', 'destination', 'event', 'attempts', 'reason'], rows))
  return exitCodes.ok.code
}

/** Exactly one of `ids`, `rule` and `all` says which. */
export async function replayDeadLetters(
  io: CommandIo,
  options: EventsOptions & { readonly ids: readonly string[]; readonly rule: string | undefined; readonly all: boolean },
): Promise<number> {
  const { rule, all } = options
  const given = options.ids.map(Number)
  if ([given.length > 0, rule !== undefined, all].filter(Boolean).length !== 1 || given.some((id) => !Number.isSafeInteger(id) || id < 1)) {
    io.stderr.write('Say which: numbers from "stowage events dead-letters list", --rule <name> or --all.\n')
    return exitCodes.usage.code
  }
  const call = await connectToStowage(options)
  const letters = given.length > 0 ? [] : await everyLetter(call)
  const ids = given.length > 0 ? given : letters.filter(({ ruleName }) => all || ruleName === rule).map(({ deadLetterId }) => deadLetterId)
  const replayed: number[] = []
  const withoutTarget: number[] = []
  for (let at = 0; at < ids.length; at += mostPerCall) {
    const answer = await call<{ replayedIds: number[]; withoutTargetIds: number[] }>('ReplayEventDeadLetters', { deadLetterIds: ids.slice(at, at + mostPerCall) })
    replayed.push(...answer.replayedIds)
    withoutTarget.push(...answer.withoutTargetIds)
  }
  const shown = `${replayed.length} sent again.${withoutTarget.length === 0 ? '' : ` ${withoutTarget.length} stay: their targets are gone.`}\n`
  io.stdout.write(options.json ? jsonText({ replayedIds: replayed, withoutTargetIds: withoutTarget }) : shown)
  return exitCodes.ok.code
}

function everyLetter(call: StowageCall): Promise<DeadLetter[]> {
  return everyPage(call, 'ListEventDeadLetters', {}, (page) => page['deadLetters'] as DeadLetter[])
}

function typeOf({ event }: DeadLetter): string {
  return String((JSON.parse(event) as { 'detail-type'?: unknown })['detail-type'])
}

function forPeople({ event, queuedAt, diedAt, ...rest }: DeadLetter): object {
  return { ...rest, queuedAt: isoTime(queuedAt), diedAt: isoTime(diedAt), event: JSON.parse(event) as unknown }
}
