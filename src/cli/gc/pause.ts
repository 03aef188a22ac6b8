import { exitCodes } from '../../config/exit-codes.ts'
import type { AwsOptions } from '../aws/settings.ts'
import { connectToStowage, isoTime, jsonText } from '../aws/stowage-calls.ts'
import type { CommandIo } from '../command-io.ts'

export interface GcOptions extends AwsOptions {
  readonly json: boolean
}

/** As the service answers it. */
export interface Pause {
  readonly reason: string
  readonly pausedAt: number
  readonly pausedBy: string
  readonly endsAt?: number
}

export async function pauseCollection(io: CommandIo, options: GcOptions & { readonly reason: string; readonly until: Date | undefined }): Promise<number> {
  const { reason, until, json } = options
  const call = await connectToStowage(options)
  const endsAt = until === undefined ? undefined : until.getTime() / 1000
  const { pause } = await call<{ pause: Pause }>('PauseGarbageCollection', { reason, endsAt })
  const end = pause.endsAt === undefined ? 'until `stowage gc resume`' : `until ${isoTime(pause.endsAt)}`
  io.stdout.write(json ? jsonText(pauseForPeople(pause)) : `Collection is paused, ${end}. What waits is done then.\n`)
  return exitCodes.ok.code
}

export async function resumeCollection(io: CommandIo, options: GcOptions): Promise<number> {
  const call = await connectToStowage(options)
  const { endedPause } = await call<{ endedPause?: Pause }>('ResumeGarbageCollection', {})
  if (options.json) io.stdout.write(jsonText({ ...(endedPause && { endedPause: pauseForPeople(endedPause) }) }))
  else io.stdout.write(endedPause === undefined ? 'Collection was not paused.\n' : `Collection goes on. ${endedPause.pausedBy} had paused it: ${endedPause.reason}\n`)
  return exitCodes.ok.code
}

export function pauseForPeople({ pausedAt, endsAt, ...pause }: Pause) {
  return { ...pause, pausedAt: isoTime(pausedAt), ...(endsAt !== undefined && { endsAt: isoTime(endsAt) }) }
}
