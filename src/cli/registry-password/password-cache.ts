import { mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { IdSource } from '../../internal/ids.ts'

/** What docker logs in with. Times are in milliseconds since the Unix epoch. */
export interface RegistryPassword {
  readonly username: string
  readonly secret: string
  readonly issuedAt: number
  readonly expiresAt: number
}

interface Entry extends RegistryPassword {
  readonly registry: string
}

/**
 * Passwords of registries in a folder of the user's own, a file each that only the user may read. It is a convenience: what
 * cannot be written or read is done without.
 */
export class PasswordCache {
  readonly #folder: string
  readonly #ids: IdSource

  constructor(cacheDir: string, ids: IdSource) {
    this.#folder = join(cacheDir, 'stowage', 'registry-passwords')
    this.#ids = ids
  }

  /** `key` names the registry and everything that decides whose password it is: 64 hexadecimal digits. */
  read(key: string): RegistryPassword | undefined {
    return readEntry(this.#file(key))
  }

  write(key: string, registry: string, password: RegistryPassword): void {
    const unfinished = `${this.#file(key)}.${this.#ids.uuid()}`
    try {
      mkdirSync(this.#folder, { recursive: true, mode: 0o700 })
      writeFileSync(unfinished, JSON.stringify({ registry, ...password } satisfies Entry), { mode: 0o600, flag: 'wx' })
      // Whole or not at all, for another process that reads it now.
      renameSync(unfinished, this.#file(key))
    } catch {
      rmSync(unfinished, { force: true })
    }
  }

  /** Forgets all passwords of a registry, whoever they stand for. */
  erase(registry: string): void {
    for (const file of this.#files()) {
      if (readEntry(file)?.registry === registry) rmSync(file, { force: true })
    }
  }

  /** Registries with a password that is still good, and its user name. */
  list(now: number): Record<string, string> {
    const entries = this.#files().flatMap((file) => readEntry(file) ?? [])
    return Object.fromEntries(entries.filter(({ expiresAt }) => now < expiresAt).map(({ registry, username }) => [registry, username]))
  }

  /** Removes what has expired, so that the folder does not grow with every rotated key. */
  sweep(now: number): void {
    for (const file of this.#files()) {
      const entry = readEntry(file)
      if (entry !== undefined && now >= entry.expiresAt) rmSync(file, { force: true })
    }
  }

  #file(key: string): string {
    return join(this.#folder, `${key}.json`)
  }

  #files(): string[] {
    try {
      return readdirSync(this.#folder)
        .filter((name) => name.endsWith('.json'))
        .map((name) => join(this.#folder, name))
    } catch {
      return []
    }
  }
}

function readEntry(file: string): Entry | undefined {
  try {
    const entry = JSON.parse(readFileSync(file, 'utf8')) as Partial<Entry>
    const { registry, username, secret, issuedAt, expiresAt } = entry
    if (typeof registry !== 'string' || typeof username !== 'string' || typeof secret !== 'string') return undefined
    if (typeof issuedAt !== 'number' || typeof expiresAt !== 'number') return undefined
    return { registry, username, secret, issuedAt, expiresAt }
  } catch {
    return undefined
  }
}
