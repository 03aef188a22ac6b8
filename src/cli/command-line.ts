import { basename, resolve } from 'node:path'

/** How this program was started, as far as it matters to whoever starts it again. */
export interface Invocation {
  /** The Node that runs it. */
  readonly execPath: string
  /** The script that it was started with. */
  readonly script: string
}

/** The words that start this program from any folder: `stowage`, or Node and the script where it is not installed. */
export function programWords(invocation: Invocation): string {
  if (basename(invocation.script) === 'stowage') return 'stowage'
  return `${shellWord(invocation.execPath)} ${shellWord(resolve(invocation.script))}`
}

/** A text as one word of a POSIX shell. */
export function shellWord(text: string): string {
  return /^[\w@%+=:,./-]+$/u.test(text) ? text : `'${text.replaceAll("'", String.raw`'\''`)}'`
}

/** `export NAME=value NAME=value`, to be pasted or evaluated. */
export function exportLine(variables: Readonly<Record<string, string>>): string {
  const words = Object.entries(variables).map(([name, value]) => `${name}=${shellWord(value)}`)
  return `export ${words.join(' ')}`
}
