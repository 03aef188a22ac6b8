import { setPriority } from 'node:os'
import { parentPort, workerData } from 'node:worker_threads'
import { systemClock } from '../internal/clock.ts'
import { RecurringWork } from '../internal/recurring-work.ts'
import { openMetadataReader } from '../storage/metadata/open.ts'
import { openObserveStore } from '../storage/metadata/observe/store.ts'
import { removeOldMetricPoints } from '../metrics/metric-retention.ts'
import { sampleResources } from '../metrics/resource-samples.ts'
import { removeOldEvents } from './retention.ts'
import { RollUp } from './roll-up.ts'
import { Sealer } from './sealer.ts'
import type { SealerAnswer, SealerData, SealerMessage } from './sealer-thread.ts'

/*
 * The thread in which the audit trail is sealed: hashing and writing records takes time that requests need. Started by
 * sealer-thread.ts.
 */

const port = parentPort
if (port === null) throw new Error('sealer-worker.ts is the program of a thread')
const { metadata: target, store: storeTarget, folder, serverId, leftBehind, retentionMs, home, metricRetentionMs } = workerData as SealerData

/** What the server did by itself, and what servers left that are gone, is looked for this often. */
const lookEveryMs = 5_000
const retentionEveryMs = 10 * 60_000

/** As often as Amazon tells how much there is of something. */
const sampleEveryMs = 5 * 60_000
const removePointsEveryMs = 60 * 60_000

// On Linux a thread has a priority of its own: what is sealed a moment later harms nobody.
if (process.platform === 'linux') setPriority(10)

const store = openObserveStore(storeTarget, { connections: 1, readOnly: false })
const metadata = await openMetadataReader(target, { onConnectionLost: () => undefined })
const forgetting = new Map<number, PromiseWithResolvers<undefined>>()
let nextId = 1

const tell = (message: SealerAnswer): void => port.postMessage(message)

const sealer = new Sealer({
  store,
  metadata: metadata.reader,
  folder,
  serverId,
  leftBehind: new Set(leftBehind),
  now: () => systemClock.now(),
  forget(changeIds) {
    const id = nextId++
    const forgotten = Promise.withResolvers<undefined>()
    forgetting.set(id, forgotten)
    tell({ kind: 'forget', id, changeIds })
    return forgotten.promise.then(() => undefined)
  },
  rollUp: new RollUp(home, () => systemClock.now()),
  onDamage: (damage) => tell({ kind: 'damage', damage }),
})

let nextRetentionAt = 0
let nextSampleAt = performance.now() + sampleEveryMs
let nextRemovalAt = 0
const work = new RecurringWork(
  async (signal) => {
    await sealer.sealSegments(signal)
    await sealer.sealLoneChanges(signal)
    if (performance.now() >= nextSampleAt) {
      nextSampleAt = performance.now() + sampleEveryMs
      await sampleResources({ store, metadata: metadata.reader, home, now: systemClock.now(), everyMs: sampleEveryMs })
    }
    if (performance.now() >= nextRemovalAt) {
      nextRemovalAt = performance.now() + removePointsEveryMs
      await removeOldMetricPoints(store, metricRetentionMs, systemClock.now(), signal)
    }
    if (performance.now() < nextRetentionAt) return
    await removeOldEvents(store, retentionMs, systemClock.now(), signal)
    nextRetentionAt = performance.now() + retentionEveryMs
  },
  (error) => tell({ kind: 'failed', message: error instanceof Error ? (error.stack ?? error.message) : String(error) }),
)

port.on('message', (message: SealerMessage) => {
  switch (message.kind) {
    case 'look':
      void work.runAfresh()
      break
    case 'forgotten': {
      const waiting = forgetting.get(message.id)
      forgetting.delete(message.id)
      if (message.failure === undefined) waiting?.resolve(undefined)
      else waiting?.reject(new Error(message.failure))
      break
    }
    case 'finish':
      // Everything that was closed before.
      void work.runAfresh().then(() => tell({ kind: 'finished' }))
      break
    case 'close':
      void close()
      break
  }
})

work.start(lookEveryMs)
void work.run()

async function close(): Promise<void> {
  for (const { reject } of forgetting.values()) reject(new Error('the server stops'))
  await work.stop()
  await Promise.all([store.close(), metadata.close()])
  port!.close()
}
