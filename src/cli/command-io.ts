import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Invocation } from './command-line.ts'

/** What commands need of the process that runs them. */
export interface CommandIo {
  readonly stdout: { readonly isTTY?: boolean; write(text: string): unknown }
  readonly stderr: { readonly isTTY?: boolean; write(text: string): unknown }
  readonly invocation: Invocation
}

/** The version in package.json. */
export function ownVersion(): string {
  const text = readFileSync(join(import.meta.dirname, '../../package.json'), 'utf8')
  return (JSON.parse(text) as { version: string }).version
}
