import { readFile, rename, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { RoundState } from './round.ts'

/** Grows when a newer form could be mistaken for an older one. */
const version = 1

/** Where `stowage verify` remembers what it has checked: it may run where it cannot write to the database. */
export function stateFile(dataDir: string): string {
  return join(dataDir, 'verify.json')
}

/** The kept state; nothing where there is none, or none that this program understands: then everything is checked. */
export async function readState(dataDir: string): Promise<RoundState> {
  let text: string
  try {
    text = await readFile(stateFile(dataDir), 'utf8')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return {}
    throw error
  }
  try {
    const kept = JSON.parse(text) as { version?: unknown; state?: RoundState }
    return kept.version === version && kept.state ? kept.state : {}
  } catch {
    return {}
  }
}

/** Replaces the state as a whole. What a crash loses of it is checked again. */
export async function writeState(dataDir: string, state: RoundState): Promise<void> {
  const file = stateFile(dataDir)
  const next = `${file}.next`
  await writeFile(next, `${JSON.stringify({ version, state })}\n`, { mode: 0o600 })
  await rename(next, file)
}

/** The database is another one: what was checked of the one before says nothing. */
export async function forgetState(dataDir: string): Promise<void> {
  await rm(stateFile(dataDir), { force: true })
}
