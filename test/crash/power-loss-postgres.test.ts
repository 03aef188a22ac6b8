import { mkdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { newKeyring, serializeKeyring } from '../../src/iam/index.ts'
import { systemClock } from '../../src/internal/clock.ts'
import { systemIds } from '../../src/internal/ids.ts'
import { openMetadata } from '../../src/storage/metadata/open.ts'
import { CrashModel, type Kept } from '../support/fault-disk/crash-model.ts'
import type { Fault } from '../support/fault-disk/fault-disk.ts'
import { createDatabase } from '../support/postgres.ts'
import { inspect } from './facts.ts'
import { createBench, dataFolder, type Bench } from './recorded-server.ts'
import { newStory, runOnePush } from './scenario.ts'

/*
 * The rows are PostgreSQL's to keep, on another machine perhaps: a power cut takes from the blobs alone. The server dies
 * around the commit of a blob, and every state of its files must fit the rows as they are.
 */

let bench: Bench
beforeEach(async () => {
  bench = await createBench('postgres')
})
afterEach(() => {
  bench.remove()
})

const kept: Kept[] = ['everything', 'nothing', 'names', 'data', ...Array.from({ length: 12 }, (_, n) => ({ seed: `postgres ${n}` }))]

// The third answer is the one to the blob's PUT: it comes after the commit.
const deaths: (Fault & { readonly title: string; readonly isCommitted: boolean })[] = [
  { title: 'before the link', action: 'die-before', operations: ['link'], nth: 1, isCommitted: false },
  { title: 'after the link', action: 'die-after', operations: ['link'], nth: 1, isCommitted: false },
  { title: 'after the flush of the folder', action: 'die-after', operations: ['fsync'], path: '/blobs/default/sha256/', nth: 1, isCommitted: false },
  { title: 'after the commit', action: 'die-before', operations: ['answer'], nth: 3, isCommitted: true },
  { title: 'after the answer', action: 'die-after', operations: ['answer'], nth: 3, isCommitted: true },
]

it.each(deaths)('blobs fit the rows in PostgreSQL, whatever a power cut took: $title', async ({ title: _, isCommitted, ...fault }) => {
  const { url } = await createDatabase()
  const keyring = serializeKeyring(newKeyring(systemClock, systemIds))
  const stowage = await bench.start({ databaseUrl: url, env: { STOWAGE_KEYRING: keyring } })
  const story = newStory('alice')
  bench.disk.arm(fault)
  await runOnePush(stowage, story).catch(() => undefined)
  expect(await stowage.exited).toMatchObject({ signal: 'SIGKILL' })
  const model = new CrashModel()
  for (const event of bench.recording()) model.apply(event)

  const database = await openMetadata(
    { url },
    {
      catalogueUrl: new URL('../../src/commands.ts', import.meta.url).href,
      onFatal: (error) => {
        throw error
      },
      onConnectionLost: () => undefined,
    },
  )
  try {
    for (const what of kept) {
      const dir = bench.makeFolder('state')
      model.crash(what).writeTo(dir)
      mkdirSync(join(dir, dataFolder), { recursive: true })
      const { facts, violations } = await inspect(database.reader, join(dir, dataFolder))
      rmSync(dir, { recursive: true })

      expect(violations, JSON.stringify(what)).toEqual([])
      expect([...facts].filter((fact) => fact.startsWith('alice/app blob '))).toHaveLength(isCommitted ? 1 : 0)
    }
  } finally {
    await database.close()
  }
})
