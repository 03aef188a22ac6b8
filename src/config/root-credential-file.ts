import { link, mkdir, open, readFile, rename, rm } from 'node:fs/promises'
import { dirname } from 'node:path'
import { z } from 'zod'
import type { Clock } from '../internal/clock.ts'
import { newAccessKeyPair } from '../internal/access-key-pair.ts'
import type { IdSource } from '../internal/ids.ts'
import { rootCredentialPath } from './data-paths.ts'
import { configError } from './errors.ts'
import type { RootCredential } from './schema.ts'

const fileContent = z.object({
  accessKeyId: z.string().min(1),
  secretAccessKey: z.string().min(1),
  createdAt: z.string(),
})

export interface RootCredentialFile extends RootCredential {
  readonly file: string
  /** ISO 8601. */
  readonly createdAt: string
}

/** A new key of the form that AWS gives its own. */
export function generateRootCredential(ids: IdSource): RootCredential {
  return newAccessKeyPair('AKIA', ids)
}

/**
 * The root credential kept in the data folder; undefined where there is none yet.
 * @throws `root-credential-unreadable`; the message names the file and never its content.
 */
export async function readRootCredentialFile(dataDir: string): Promise<RootCredentialFile | undefined> {
  const file = rootCredentialPath(dataDir)
  let text: string
  try {
    text = await readFile(file, 'utf8')
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === 'ENOENT' || code === 'ENOTDIR') return undefined
    throw configError('root-credential-unreadable', `${file} cannot be read (${code ?? 'unknown error'}): run as the user that owns it.`, {
      detail: { file, code },
    })
  }
  const content = fileContent.safeParse(parseJson(text))
  if (!content.success) {
    throw configError(
      'root-credential-unreadable',
      `${file} does not hold a root credential: restore it, or move it away and run \`stowage credentials rotate\` to make a new one.`,
      { detail: { file } },
    )
  }
  return { file, ...content.data }
}

/**
 * Makes a root credential and keeps it in the data folder, durably and readable by the owner only.
 * With `replace`, it takes the place of an older one at once; otherwise the first of two writers wins and both
 * answer with what is kept.
 */
export async function createRootCredentialFile(
  dataDir: string,
  options: { readonly ids: IdSource; readonly clock: Clock; readonly replace: boolean },
): Promise<{ credential: RootCredentialFile; createdNow: boolean }> {
  const file = rootCredentialPath(dataDir)
  const content = { ...generateRootCredential(options.ids), createdAt: new Date(options.clock.now()).toISOString() }
  await mkdir(dataDir, { recursive: true, mode: 0o700 })
  const draft = `${file}.${options.ids.uuid()}`
  try {
    const handle = await open(draft, 'wx', 0o600)
    try {
      await handle.writeFile(`${JSON.stringify(content, undefined, 2)}\n`)
      await handle.sync()
    } finally {
      await handle.close()
    }
    if (options.replace) await rename(draft, file)
    else await link(draft, file)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
    const kept = await readRootCredentialFile(dataDir)
    if (kept === undefined) throw error
    return { credential: kept, createdNow: false }
  } finally {
    await rm(draft, { force: true })
  }
  await syncFolder(dirname(file))
  return { credential: { file, ...content }, createdNow: true }
}

async function syncFolder(path: string): Promise<void> {
  const handle = await open(path, 'r')
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
