import { rmSync } from 'node:fs'
import type { TestProject } from 'vitest/node'
import { stopDockerEngine } from './docker-engine.ts'
import { startPostgres } from './postgres.ts'
import { abandonedRunDirs, createRunDir } from './run-dir.ts'

/**
 * Runs once around a whole test run: starts the PostgreSQL cluster that all files share, and ends
 * what files have started for all of them (see docker-engine.ts).
 */
export async function setup(project: TestProject): Promise<() => Promise<void>> {
  for (const path of abandonedRunDirs()) {
    await stopDockerEngine(path)
    rmSync(path, { recursive: true, force: true })
  }

  const runDir = createRunDir()
  const postgres = await startPostgres({ parentDir: runDir.path }).catch((error: unknown) => {
    runDir.remove()
    throw error
  })
  project.provide('runDir', runDir.path)
  project.provide('postgresUrl', postgres.url)

  return async () => {
    try {
      await stopDockerEngine(runDir.path)
    } finally {
      await postgres.stop()
      runDir.remove()
    }
  }
}
