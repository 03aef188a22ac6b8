import { execFileSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { resolve } from 'node:path'

export const root = resolve(import.meta.dirname, '../..')

/** Paths, relative to the root, of every file that belongs to the project: tracked, or new and not ignored. */
export function projectFiles(): string[] {
  const output = execFileSync('git', ['ls-files', '-z', '--cached', '--others', '--exclude-standard'], {
    cwd: root,
    encoding: 'utf8',
  })
  return [...new Set(output.split('\0'))].filter((path) => path !== '' && existsSync(resolve(root, path))).sort()
}

export function readProjectFile(path: string): string {
  return readFileSync(resolve(root, path), 'utf8')
}

/** Project files in folder `folder` (ends with /) with one of these endings. */
export function filesUnder(folder: string, ...endings: string[]): string[] {
  return projectFiles().filter(
    (path) => path.startsWith(folder) && (endings.length === 0 || endings.some((ending) => path.endsWith(ending))),
  )
}
