import { exitCodes } from '../../config/exit-codes.ts'
import { connectToStowage, isoTime, jsonText, tableText } from '../aws/stowage-calls.ts'
import type { CommandIo } from '../command-io.ts'
import { sizeText } from '../long-work.ts'
import type { GcOptions } from './pause.ts'

/** As the service answers it. */
interface Simulation {
  readonly until: number
  readonly images: number
  readonly repositories: number
  readonly heldBackImages: number
  readonly heldBackRepositories: number
  readonly blobs: number
  readonly bytes: number
  readonly goingFiles: number
  readonly goingBytes: number
  readonly installationHoldIds: readonly number[]
  readonly examined: number
  readonly isComplete: boolean
}

/** Of what is due now, and of what will be within so many days. */
export async function simulate(io: CommandIo, options: GcOptions & { readonly days: number }): Promise<number> {
  const call = await connectToStowage(options)
  const simulations: Simulation[] = []
  for (const days of new Set([0, options.days])) simulations.push(await call<Simulation>('SimulateGarbageCollection', { days }))
  if (options.json) {
    io.stdout.write(jsonText(simulations.map(({ until, ...simulation }) => ({ until: isoTime(until), ...simulation }))))
    return exitCodes.ok.code
  }
  const rows = simulations.map((each) => [
    isoTime(each.until).slice(0, 16).replace('T', ' '),
    String(each.images),
    String(each.heldBackImages),
    String(each.repositories),
    String(each.blobs + each.goingFiles),
    `${each.isComplete ? '' : 'at least '}${sizeText(each.bytes)}`,
  ])
  io.stdout.write(tableText(['until', 'images', 'held back', 'repositories', 'blobs', 'given back'], rows))
  const last = simulations.at(-1)
  if (last !== undefined && !last.isComplete) io.stdout.write(`Only the first ${last.examined} reviews were looked at: there is more.\n`)
  const holds = last?.installationHoldIds ?? []
  if (holds.length > 0) io.stdout.write(`The installation is on hold (${holds.join(', ')}): until that is released no bytes go (stowage hold list).\n`)
  return exitCodes.ok.code
}
