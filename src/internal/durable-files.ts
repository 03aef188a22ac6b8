import { open, rename } from 'node:fs/promises'
import { dirname } from 'node:path'

/** What is kept is its owner's alone. */
export const fileMode = 0o600
export const folderMode = 0o700

/** Makes the entries of a folder survive power loss. */
export async function flushFolder(path: string): Promise<void> {
  const folder = await open(path, 'r')
  try {
    await folder.sync()
  } finally {
    await folder.close()
  }
}

/** Replaces a file by a new one, whole and durable. */
export async function writeDurably(path: string, text: string): Promise<void> {
  const draft = `${path}.new`
  const file = await open(draft, 'w', fileMode)
  try {
    await file.writeFile(text)
    await file.sync()
  } finally {
    await file.close()
  }
  await rename(draft, path)
  await flushFolder(dirname(path))
}
