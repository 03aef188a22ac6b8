import type { Invocation } from './command-line.ts'

/** What commands need of the process that runs them. */
export interface CommandIo {
  readonly stdout: { readonly isTTY?: boolean; write(text: string): unknown }
  readonly stderr: { readonly isTTY?: boolean; write(text: string): unknown }
  readonly invocation: Invocation
}
