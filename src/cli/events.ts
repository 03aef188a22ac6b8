import { readFile } from 'node:fs/promises'
import { readAwsEnvironment } from '../config/aws-environment.ts'
import { exitCodes } from '../config/exit-codes.ts'
import { createAwsAccess } from './aws/access.ts'
import { resolveAwsSettings, type AwsOptions } from './aws/settings.ts'
import { callStowage } from './aws/stowage-service.ts'
import type { CommandIo } from './command-io.ts'

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
  return show(io, options, await (await connect(options))('CreateEventDestination', await inputOf(options)))
}

export async function updateDestination(io: CommandIo, options: DestinationOptions & { readonly newSecret: boolean }): Promise<number> {
  return show(io, options, await (await connect(options))('UpdateEventDestination', { ...(await inputOf(options)), newSecret: options.newSecret }))
}

export async function deleteDestination(io: CommandIo, options: EventsOptions & { readonly name: string }): Promise<number> {
  await (await connect(options))('DeleteEventDestination', { destinationName: options.name })
  io.stdout.write(options.json ? jsonText({}) : `The destination ${options.name} is gone.\n`)
  return exitCodes.ok.code
}

export async function listDestinations(io: CommandIo, options: EventsOptions): Promise<number> {
  const found = await everyPage<Destination>(options, 'ListEventDestinations', {}, 'destinations')
  const rows = found.map(({ destinationName, url, createdAt, createdBy }) => [destinationName, url, timeText(createdAt), createdBy])
  io.stdout.write(options.json ? jsonText(found.map(forPeople)) : tableText(['name', 'URL', 'created', 'by'], rows))
  return exitCodes.ok.code
}

function show(io: CommandIo, options: EventsOptions, answer: Readonly<Record<string, unknown>>): number {
  const destination = answer as unknown as Destination
  const { destinationArn, url, secret } = destination
  const shown = `arn     ${destinationArn}\nurl     ${url}\n${secret === undefined ? '' : `secret  ${secret}\n        It is not shown again: give it to the receiver now.\n`}`
  io.stdout.write(options.json ? jsonText(forPeople(destination)) : shown)
  return exitCodes.ok.code
}

async function inputOf({ name, url, description, secretFrom }: DestinationOptions): Promise<object> {
  const secret = secretFrom === undefined ? undefined : (await readFile(secretFrom, 'utf8')).trim()
  return { destinationName: name, url, description, secret }
}

export type StowageCall = (operation: string, input: object) => ReturnType<typeof callStowage>

export async function connect(options: AwsOptions): Promise<StowageCall> {
  const access = createAwsAccess(await resolveAwsSettings(readAwsEnvironment(), options))
  return (operation, input) => callStowage(access, operation, input)
}

export async function everyPage<Item>(options: AwsOptions, operation: string, input: object, member: string): Promise<Item[]> {
  const call = await connect(options)
  const items: Item[] = []
  let nextToken: unknown
  do {
    const page = await call(operation, { ...input, ...(nextToken !== undefined && { nextToken }) })
    items.push(...(page[member] as Item[]))
    nextToken = page['nextToken']
  } while (nextToken !== undefined)
  return items
}

function forPeople({ createdAt, ...rest }: Destination): object {
  return { ...rest, createdAt: timeText(createdAt) }
}

export function timeText(seconds: number): string {
  return new Date(seconds * 1000).toISOString()
}

export function jsonText(value: unknown): string {
  return `${JSON.stringify(value, null, 2)}\n`
}

export function tableText(heads: readonly string[], rows: readonly (readonly string[])[]): string {
  const widths = heads.map((head, column) => Math.max(head.length, ...rows.map((row) => row[column]!.length)))
  const line = (cells: readonly string[]): string => cells.map((cell, column) => cell.padEnd(widths[column]!)).join('  ').trimEnd()
  return `${[heads, ...rows].map(line).join('\n')}\n`
}
