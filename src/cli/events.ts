import { exitCodes } from '../config/exit-codes.ts'
import type { AwsOptions } from './aws/settings.ts'
import { connectToStowage, everyPage, isoTime, jsonText, tableText } from './aws/stowage-calls.ts'
import type { CommandIo } from './command-io.ts'
import { readGivenFile } from './given-file.ts'

export interface EventsOptions extends AwsOptions {
  readonly json: boolean
}

interface DestinationOptions extends EventsOptions {
  readonly name: string
  readonly url: string | undefined
  readonly description: string | undefined
  /** A file. */
  readonly secretFrom: string | undefined
}

/** As the service answers it; times are seconds since the Unix epoch. */
interface Destination {
  readonly destinationName: string
  readonly destinationArn: string
  readonly url: string
  readonly description?: string
  readonly createdAt: number
  readonly createdBy: string
  /** Shown once. */
  readonly secret?: string
}

export async function createDestination(io: CommandIo, options: DestinationOptions): Promise<number> {
  const call = await connectToStowage(options)
  return show(io, options, await call<Destination>('CreateEventDestination', await inputOf(options)))
}

export async function updateDestination(io: CommandIo, options: DestinationOptions & { readonly newSecret: boolean }): Promise<number> {
  const call = await connectToStowage(options)
  return show(io, options, await call<Destination>('UpdateEventDestination', { ...(await inputOf(options)), newSecret: options.newSecret }))
}

export async function deleteDestination(io: CommandIo, options: EventsOptions & { readonly name: string }): Promise<number> {
  const call = await connectToStowage(options)
  await call('DeleteEventDestination', { destinationName: options.name })
  io.stdout.write(options.json ? jsonText({}) : `The destination ${options.name} is gone.\n`)
  return exitCodes.ok.code
}

export async function listDestinations(io: CommandIo, options: EventsOptions): Promise<number> {
  const found = await everyPage(await connectToStowage(options), 'ListEventDestinations', {}, (page) => page['destinations'] as Destination[])
  const rows = found.map(({ destinationName, url, createdAt, createdBy }) => [destinationName, url, isoTime(createdAt), createdBy])
  io.stdout.write(options.json ? jsonText(found.map(forPeople)) : tableText(['name', 'URL', 'created', 'by'], rows))
  return exitCodes.ok.code
}

function show(io: CommandIo, options: EventsOptions, destination: Destination): number {
  const { destinationArn, url, secret } = destination
  const shown = `arn     ${destinationArn}\nurl     ${url}\n${secret === undefined ? '' : `secret  ${secret}\n        It is not shown again: give it to the receiver now.\n`}`
  io.stdout.write(options.json ? jsonText(forPeople(destination)) : shown)
  return exitCodes.ok.code
}

async function inputOf({ name, url, description, secretFrom }: DestinationOptions): Promise<object> {
  const secret = secretFrom === undefined ? undefined : (await readGivenFile(secretFrom)).trim()
  return { destinationName: name, url, description, secret }
}

function forPeople({ createdAt, ...rest }: Destination): object {
  return { ...rest, createdAt: isoTime(createdAt) }
}
