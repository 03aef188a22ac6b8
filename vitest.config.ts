import { globSync, readFileSync, statfsSync } from 'node:fs'
import { defineConfig } from 'vitest/config'

/** A single test of pure code or of one store; one that takes longer waits for something that will not come. */
const unitTimeoutMs = 20_000

/** Whole requests against a running server, on both databases. */
const protocolTimeoutMs = 60_000

/** Real clients, image builds and killed servers take their time on a small CI machine. */
const processTimeoutMs = 180_000

const clientTests = globSync('test/clients/**/*.test.ts', { cwd: import.meta.dirname })
/** All tests share one Docker engine, and count what it holds. */
const engineTests = clientTests.filter((file) => readFileSync(`${import.meta.dirname}/${file}`, 'utf8').includes('useDockerEngine'))

/** More than all files of two test files at a time; where there is less in memory, they are on the disk. */
const neededMemoryBytes = 4 * 2 ** 30

/**
 * For temporary files of tests that no power is lost in and no disk fails: waiting for flushes was a fifth of their time. What is
 * about durability has projects of its own, on the disk.
 */
function memoryFolder(): Record<string, string> {
  try {
    const { bavail, bsize } = statfsSync('/dev/shm')
    return bavail * bsize >= neededMemoryBytes ? { TMPDIR: '/dev/shm' } : {}
  } catch {
    return {}
  }
}

function project(name: string, groupOrder: number, timeoutMs: number, include: string[], { fileParallelism = true, env = {} } = {}) {
  return {
    test: {
      name,
      include,
      env,
      pool: 'forks' as const,
      // Every file may start servers and databases of its own: more workers than this only wait for each other.
      maxWorkers: fileParallelism ? 2 : 1,
      testTimeout: timeoutMs,
      hookTimeout: timeoutMs,
      // Groups run one after the other, so that what fails fast fails first.
      sequence: { groupOrder },
    },
  }
}

export default defineConfig({
  test: {
    reporters: ['default', './scripts/closing-line-reporter.ts'],
    // Runs once, whichever projects are asked for: they share its PostgreSQL.
    globalSetup: ['test/support/global-setup.ts'],
    projects: [
      project('unit', 0, unitTimeoutMs, [
        'src/**/*.test.ts',
        'scripts/**/*.test.ts',
        'test/repo/**/*.test.ts',
        'test/support/**/*.test.ts',
      ], { env: memoryFolder() }),
      project('protocol', 1, protocolTimeoutMs, [
        'test/storage/**/*.test.ts',
        'test/registry/**/*.test.ts',
        'test/lifecycle/**/*.test.ts',
        'test/upgrade/**/*.test.ts',
        'test/integrity/**/*.test.ts',
        'test/audit/**/*.test.ts',
        'test/distribution/**/*.test.ts',
        'test/aws/**/*.test.ts',
        'test/authorization/**/*.test.ts',
        'test/abuse/**/*.test.ts',
        'test/fuzz/**/*.test.ts',
        'test/monitoring/**/*.test.ts',
        'test/interleavings/**/*.test.ts',
      ], { env: memoryFolder() }),
      project('crash', 2, processTimeoutMs, ['test/crash/**/*.test.ts', 'test/backup/**/*.test.ts', 'test/faults/**/*.test.ts']),
      project('clients', 3, processTimeoutMs, clientTests.filter((file) => !engineTests.includes(file))),
      // One file at a time.
      project('engine', 4, processTimeoutMs, engineTests, { fileParallelism: false }),
    ],
  },
})
