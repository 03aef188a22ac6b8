import { exitCodes } from '../config/exit-codes.ts'
import type { AwsOptions } from './aws/settings.ts'
import { connectToStowage, everyPage, isoTime, jsonText, tableText } from './aws/stowage-calls.ts'
import type { CommandIo } from './command-io.ts'

export interface HoldOptions extends AwsOptions {
  readonly json: boolean
}

/** As the service answers it. */
interface Hold {
  readonly holdId: number
  readonly cause: string
  readonly reason: string
  readonly raisedAt: number
  readonly raisedBy: string
  readonly sourceName?: string
  readonly scope?: readonly string[]
  readonly releasedAt?: number
  readonly releasedBy?: string
  readonly releaseReason?: string
}

export async function listHolds(io: CommandIo, options: HoldOptions & { readonly all: boolean }): Promise<number> {
  const call = await connectToStowage(options)
  const holds = await everyPage(call, 'ListHolds', { includeReleased: options.all }, (page) => page['holds'] as Hold[])
  if (options.json) {
    io.stdout.write(jsonText(holds.map(({ raisedAt, releasedAt, ...hold }) => ({ ...hold, raisedAt: isoTime(raisedAt), ...(releasedAt !== undefined && { releasedAt: isoTime(releasedAt) }) }))))
    return exitCodes.ok.code
  }
  if (holds.length === 0) {
    io.stdout.write(options.all ? 'There was no hold.\n' : 'Nothing is on hold.\n')
    return exitCodes.ok.code
  }
  const rows = holds.map(({ holdId, cause, raisedAt, releasedAt, scope, reason }) => [
    String(holdId),
    cause,
    isoTime(raisedAt).slice(0, 16),
    releasedAt === undefined ? 'on hold' : `released ${isoTime(releasedAt).slice(0, 16)}`,
    scope?.join(' ') ?? 'everything',
    reason,
  ])
  io.stdout.write(tableText(['hold', 'cause', 'since', 'state', 'repositories', 'reason'], rows))
  return exitCodes.ok.code
}

export async function placeHold(io: CommandIo, options: HoldOptions & { readonly reason: string }): Promise<number> {
  const call = await connectToStowage(options)
  const placed = await call<{ holdId: number }>('PlaceHold', { reason: options.reason })
  io.stdout.write(options.json ? jsonText(placed) : `The registry is on hold (${placed.holdId}): nothing is removed from it automatically.\n`)
  return exitCodes.ok.code
}

export async function releaseHold(io: CommandIo, options: HoldOptions & { readonly id: number; readonly reason: string }): Promise<number> {
  const call = await connectToStowage(options)
  const released = await call<{ holdId: number }>('ReleaseHold', { holdId: options.id, reason: options.reason })
  io.stdout.write(options.json ? jsonText(released) : `The hold ${released.holdId} is released.\n`)
  return exitCodes.ok.code
}
