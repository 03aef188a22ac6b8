import { setPriority } from 'node:os'
import { parentPort, workerData } from 'node:worker_threads'
import { systemClock } from '../../internal/clock.ts'
import { freeCursors } from '../../storage/metadata/observe/cursor-store.ts'
import { openObserveStore } from '../../storage/metadata/observe/store.ts'
import { Follower } from './follower.ts'
import { outletsOf } from './outlet-settings.ts'
import type { OutletAnswer, OutletData, OutletMessage } from './outlet-thread.ts'

/*
 * The thread in which records are brought to where the settings say. Started by outlet-thread.ts.
 */

const port = parentPort
if (port === null) throw new Error('outlet-worker.ts is the program of a thread')
const { store: target, outlets: settings, owner, isAlone } = workerData as OutletData

// On Linux a thread has a priority of its own: requests go first.
if (process.platform === 'linux') setPriority(10)

/** One for each outlet, on PostgreSQL. */
const connections = 4

const store = openObserveStore(target, { connections, readOnly: false })
if (isAlone) await store.transaction(freeCursors)

let last: Promise<unknown> = Promise.resolve()

const tell = (answer: OutletAnswer): void => port.postMessage(answer)
const now = (): number => systemClock.now()

const followers = outletsOf(settings, { now, onRejected: (records, reason) => tell({ kind: 'rejected', outlet: 'otlp', records, reason }) }).map((outlet) => {
  const follower = new Follower(outlet, {
    store: turns(store),
    owner,
    now,
    onError: (error) => tell({ kind: 'failed', outlet: outlet.name, message: error instanceof Error ? error.message : String(error) }),
    onGap: (records) => tell({ kind: 'gap', outlet: outlet.name, records }),
  })
  follower.start()
  return { name: outlet.name, follower }
})

port.on('message', (message: OutletMessage) => {
  if (message.kind === 'progress') tell({ kind: 'progress', progress: Object.fromEntries(followers.map(({ name, follower }) => [name, follower.progress])) })
  else void close()
})

async function close(): Promise<void> {
  await Promise.all(followers.map(({ follower }) => follower.stop()))
  await store.close()
  port!.close()
}

/** On SQLite all share one connection, which has one transaction at a time. */
function turns(shared: typeof store): typeof store {
  return {
    ...shared,
    transaction(work) {
      const turn = last.then(() => shared.transaction(work))
      last = turn.catch(() => undefined)
      return turn
    },
  }
}
