import { readAwsEnvironment } from '../../config/aws-environment.ts'
import { createAwsAccess } from './access.ts'
import { resolveAwsSettings, type AwsOptions } from './settings.ts'
import { callStowage, type JsonServiceName } from './stowage-service.ts'

/** An operation of the `Stowage` service with its input; members that are undefined are not sent. */
export type StowageCall = <Answer>(operation: string, input: object) => Promise<Answer>

/** The server that a command's options and environment name. Throws what they lack, before anything is sent. */
export async function connectToStowage(options: AwsOptions, service: JsonServiceName = 'stowage'): Promise<StowageCall> {
  const access = createAwsAccess(await resolveAwsSettings(readAwsEnvironment(), options))
  return async <Answer>(operation: string, input: object) => (await callStowage(access, operation, input, service)) as Answer
}

/** All that a listing has, page after page. */
export async function everyPage<Item>(call: StowageCall, operation: string, input: object, itemsOf: (page: Readonly<Record<string, unknown>>) => readonly Item[]): Promise<Item[]> {
  const items: Item[] = []
  let nextToken: string | undefined
  do {
    const page = await call<Readonly<Record<string, unknown>> & { readonly nextToken?: string }>(operation, { ...input, nextToken })
    items.push(...itemsOf(page))
    nextToken = page.nextToken
  } while (nextToken !== undefined)
  return items
}

export function jsonText(value: unknown): string {
  return `${JSON.stringify(value, null, 2)}\n`
}

/** A time of an answer, in seconds since the epoch, as people and programs read it. */
export function isoTime(seconds: number): string {
  return new Date(seconds * 1000).toISOString()
}

/** Rows under a heading, each column as wide as its widest text; nothing but the heading where there are none. */
export function tableText(heading: readonly string[], rows: readonly (readonly string[])[]): string {
  const all = [heading, ...rows]
  const widths = heading.map((_, column) => Math.max(...all.map((row) => (row[column] ?? '').length)))
  return `${all.map((row) => row.map((text, column) => text.padEnd(widths[column] ?? 0)).join('  ').trimEnd()).join('\n')}\n`
}
