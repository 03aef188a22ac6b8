import { exitCodes } from '../../config/exit-codes.ts'
import { connectToStowage, isoTime, jsonText } from '../aws/stowage-calls.ts'
import type { CommandIo } from '../command-io.ts'
import type { GcOptions } from './pause.ts'

/** As the service answers it. */
export interface Rate {
  readonly reviewsPerSecond: number
  readonly setAt: number
  readonly setBy: string
}

export async function setRate(io: CommandIo, options: GcOptions & { readonly reviewsPerSecond: number | undefined }): Promise<number> {
  const { reviewsPerSecond, json } = options
  const call = await connectToStowage(options)
  const { rate } = await call<{ rate?: Rate }>('SetGarbageCollectionRate', { reviewsPerSecond })
  if (json) io.stdout.write(jsonText({ ...(rate && { rate: rateForPeople(rate) }) }))
  else io.stdout.write(rate === undefined ? 'Each server collects as fast as its clients do not notice.\n' : `Each server does ${rate.reviewsPerSecond} reviews a second from now on, whether or not it serves clients.\n`)
  return exitCodes.ok.code
}

export function rateForPeople({ setAt, ...rate }: Rate) {
  return { ...rate, setAt: isoTime(setAt) }
}
