import { rmSync } from 'node:fs'
import { join } from 'node:path'
import type { TestProject } from 'vitest/node'
import { buildProgram } from '../../scripts/build-program.ts'
import { stopDockerEngine } from './docker-engine.ts'
import { startPostgres } from './postgres.ts'
import { abandonedRunDirs, createRunDir } from './run-dir.ts'
import { requireNoLeak } from './secret-check.ts'
import { beginCollecting } from './secrets.ts'
import { programVariable } from './tools.ts'

/**
 * Runs once around a whole test run: starts the PostgreSQL cluster that all files share, and ends
 * what files have started for all of them (see docker-engine.ts). Fails the run where one of its secrets has leaked.
 */
export async function setup(project: TestProject): Promise<() => Promise<void>> {
  for (const path of abandonedRunDirs()) {
    await stopDockerEngine(path)
    rmSync(path, { recursive: true, force: true })
  }

  // Servers and commands start in hundreds of tests.
  process.env[programVariable] = join(await buildProgram(), 'cli.js')
  const runDir = createRunDir()
  beginCollecting(runDir.path)
  const postgres = await startPostgres({ parentDir: runDir.path, fsync: false }).catch((error: unknown) => {
    runDir.remove()
    throw error
  })
  project.provide('runDir', runDir.path)
  project.provide('postgresUrl', postgres.url)

  return async () => {
    let leaked = true
    try {
      await stopDockerEngine(runDir.path)
      await requireNoLeak(runDir.path, postgres.url)
      leaked = false
    } finally {
      await postgres.stop()
      // What a leak was found in is kept for whoever looks for its cause; the next run removes it.
      if (!leaked) runDir.remove()
    }
  }
}
