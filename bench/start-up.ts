import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { writeFileSync } from 'node:fs'
import { request } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'
import { baseEnv } from '../test/support/run.ts'
import { freePort } from '../test/support/server-process.ts'
import type { Population } from './seeds/population.ts'
import { createDataDir, startOn, type ServerKind } from './servers.ts'
import { spreadOf, type Spread } from './statistics.ts'

export interface StartUpResult {
  readonly server: string
  readonly holds: string
  /** From the start of the process to its first 200. Undefined where it failed, or the cache could not be dropped. */
  readonly warmMs: Spread | undefined
  readonly coldMs: Spread | undefined
  readonly failure?: string
}

const startTimeoutMs = 120_000

/**
 * Times starts on an empty folder and on one that holds a population: with what they read in the page cache, and, where
 * this program may drop it, without.
 */
export async function measureStartUp(
  kind: ServerKind,
  population: Population | undefined,
  holds: string,
  rounds: number,
): Promise<StartUpResult> {
  const dir = createDataDir('start')
  try {
    if (population !== undefined) await kind.populate(dir.path, population)
    // The first start makes what later ones find: the database, keys, compiled code.
    await (await startOn(kind, dir.path, await freePort())).stop()
    const warm: number[] = []
    const cold: number[] = []
    for (let round = 0; round < rounds; round += 1) {
      warm.push(await timeStart(kind, dir.path))
      if (dropPageCache()) cold.push(await timeStart(kind, dir.path))
    }
    return { server: kind.name, holds, warmMs: spreadOf(warm), coldMs: cold.length === 0 ? undefined : spreadOf(cold) }
  } catch (error) {
    const failure = error instanceof Error ? error.message : String(error)
    return { server: kind.name, holds, warmMs: undefined, coldMs: undefined, failure: failure.split('\n', 1)[0]! }
  } finally {
    dir.remove()
  }
}

async function timeStart(kind: ServerKind, dataDir: string): Promise<number> {
  const port = await freePort()
  const { command, args, env, cwd, readyPath } = kind.launch(dataDir, port)
  const startedAt = performance.now()
  const child = spawn(command, args, { cwd, env: { ...baseEnv(), ...env }, stdio: 'ignore' })
  const exited = once(child, 'exit')
  try {
    while (!(await answers(port, readyPath))) {
      if (child.exitCode !== null || child.signalCode !== null) throw new Error('the server ended before it was ready')
      if (performance.now() - startedAt > startTimeoutMs) throw new Error('the server was not ready in time')
      await sleep(2)
    }
    return performance.now() - startedAt
  } finally {
    child.kill('SIGTERM')
    await exited
  }
}

function answers(port: number, path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const asked = request({ host: '127.0.0.1', port, path, agent: false }, (answer) => {
      answer.resume()
      resolve(answer.statusCode === 200)
    })
    asked.once('error', () => {
      resolve(false)
    })
    asked.end()
  })
}

/** Of the whole machine. False where this program may not. */
export function dropPageCache(): boolean {
  try {
    execFileSync('sync')
    writeFileSync('/proc/sys/vm/drop_caches', '3')
    return true
  } catch {
    return false
  }
}
