import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { inject } from 'vitest'
import { createTempDir, type TempDir } from './temp-dir.ts'

declare module 'vitest' {
  export interface ProvidedContext {
    /** A folder of this test run, for what its files share; removed at its end. */
    runDir: string
    /** The PostgreSQL cluster of this test run: its superuser's connection URL. */
    postgresUrl: string
  }
}

const ownerFile = 'owner'

export function createRunDir(): TempDir {
  const dir = createTempDir('test-run')
  writeFileSync(join(dir.path, ownerFile), String(process.pid))
  return dir
}

/** Folders of earlier test runs that were killed before they could clean up. */
export function abandonedRunDirs(): string[] {
  return readdirSync(tmpdir())
    .filter((name) => name.startsWith('stowage-test-run-'))
    .map((name) => join(tmpdir(), name))
    .filter((path) => {
      try {
        return !isAlive(Number(readFileSync(join(path, ownerFile), 'utf8')))
      } catch {
        // Another run is just making or removing it.
        return false
      }
    })
}

/** The folder that all test files of this run share. */
export function sharedRunDir(): string {
  const path: string | undefined = inject('runDir')
  if (path === undefined) throw new Error('the test configuration must name test/support/global-setup.ts in globalSetup')
  return path
}

export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch {
    return false
  }
}
