import { readdir, readFile, rename, stat, unlink } from 'node:fs/promises'
import { join } from 'node:path'
import type { Session } from '../storage/metadata/session.ts'
import { findChangesOf, findLoneChanges, type ChangeRow } from '../storage/metadata/stores/change-records.ts'
import { findBodies, insertEvents, lockHead, setHead, type NewEvent, type RememberedTerms } from '../storage/metadata/observe/audit-store.ts'
import { insertTagMoves, type TagMove } from '../storage/metadata/observe/tag-move-store.ts'
import type { ObserveStore } from '../storage/metadata/observe/store.ts'
import { closedSuffix, openSuffix } from './journal.ts'
import { linesOf, type JournalLine } from './journal-record.ts'
import type { RollUp } from './roll-up.ts'
import { tagMovesOf } from './tag-moves.ts'
import { chainHash, changeRecordId, indexOf, isChangeBody, sourceOfResource, uuidBytes, type ChangeBody, type RecordedChange, type TrailBody } from './trail-record.ts'

export interface SealerDependencies {
  readonly store: ObserveStore
  /** Of the metadata. */
  readonly metadata: Session
  /** Removes what the store has by now from the metadata. */
  readonly forget: (changeIds: readonly number[]) => Promise<void>
  /** Of the journal. */
  readonly folder: string
  /** Of this process: what it still writes to is left alone. */
  readonly serverId: string
  /** Names of segments that servers left that are gone. */
  readonly leftBehind: ReadonlySet<string>
  readonly now: () => number
  /** Counts what is added to the chain, in the same transaction. */
  readonly rollUp?: RollUp | undefined
  /** Told of lines that cannot be read, and where they are kept. */
  readonly onDamage: (damage: { readonly file: string; readonly lines: number }) => void
}

/** In one transaction: each is flushed. */
const maxRecordsAtOnce = 4_000
/** Read, hashed and written before the next are read: what lives longer is copied by the collector of garbage. */
const maxRecordsInMemory = 200
const maxChangesAtOnce = 500

/**
 * A change whose request is not in the journal after this long is a record by itself: the server was killed between the two, or
 * the answer takes its time.
 */
const loneAfterMs = 60_000

/** A live server closes what it writes to within seconds: what is as old as this was left by one that is gone. */
const abandonedAfterMs = 60_000

const damagedSuffix = '.damaged'

/**
 * Moves what requests left in the journal, and what commands wrote down of their changes, into the audit trail, where each is one
 * record of the chain. Every step may be repeated: a crash neither loses a record nor adds one twice. Several servers may do so at
 * once, on the same segments too; the row of the chain's head lets one at a time add to it.
 */
export class Sealer {
  readonly #deps: SealerDependencies
  readonly #terms: RememberedTerms = new Map()

  constructor(deps: SealerDependencies) {
    this.#deps = deps
  }

  /** Seals all segments that are closed, and those that servers left that are gone. */
  async sealSegments(signal?: AbortSignal): Promise<void> {
    for (const name of await this.#segments()) {
      if (signal?.aborted === true) return
      await this.#sealSegment(name, signal)
    }
  }

  /** Seals the changes that the server made by itself, and those whose requests never came into the journal. */
  async sealLoneChanges(signal?: AbortSignal): Promise<void> {
    const { metadata, forget, now } = this.#deps
    while (signal?.aborted !== true) {
      const rows = await findLoneChanges(metadata, now() - loneAfterMs, maxChangesAtOnce)
      if (rows.length === 0) return
      const requests = [...new Set(rows.filter(isOfRequest).map(({ requestId }) => requestId))]
      const sealed = includedIn(await findBodies(this.#deps.store.reader, requests.map(uuidBytes)))
      await this.#inChain(async (add) => {
        await add(rows.filter(({ id }) => !sealed.has(id)).map((row) => newEntry(changeBody(row))))
      })
      await forget(rows.map(({ id }) => id))
    }
  }

  async #segments(): Promise<string[]> {
    const { folder, now, serverId, leftBehind } = this.#deps
    const found: { readonly name: string; readonly at: number }[] = []
    for (const name of await readdir(folder)) {
      const isClosed = name.endsWith(closedSuffix)
      if (!isClosed && (!name.endsWith(openSuffix) || name.startsWith(`${serverId}.`))) continue
      const at = await stat(join(folder, name)).then(({ mtimeMs }) => mtimeMs, ifGone)
      if (at !== undefined && (isClosed || leftBehind.has(name) || at < now() - abandonedAfterMs)) found.push({ name, at })
    }
    return found.sort((a, b) => a.at - b.at).map(({ name }) => name)
  }

  async #sealSegment(name: string, signal: AbortSignal | undefined): Promise<void> {
    const path = join(this.#deps.folder, name)
    const bytes = await readFile(path).catch(ifGone)
    if (bytes === undefined) return
    const reading = new SegmentReading(bytes)
    while (!reading.isAtEnd) {
      if (signal?.aborted === true) return
      await this.#sealRequests(reading)
    }
    if (reading.damaged > 0) {
      const kept = `${path}${damagedSuffix}`
      await rename(path, kept).catch(ifGone)
      this.#deps.onDamage({ file: kept, lines: reading.damaged })
    } else {
      await unlink(path).catch(ifGone)
    }
  }

  async #sealRequests(reading: SegmentReading): Promise<void> {
    const done: number[] = []
    await this.#inChain(async (add) => {
      for (let left = maxRecordsAtOnce; left > 0 && !reading.isAtEnd; left -= maxRecordsInMemory) {
        const lines = reading.take(maxRecordsInMemory)
        const writes = lines.filter(({ record }) => record.reads !== true).map(({ record }) => record.id)
        // A change is committed before its request is answered, and so before the line of the journal.
        const rows = await findChangesOf(this.#deps.metadata, writes)
        const ofRequest = Map.groupBy(rows, ({ requestId }) => requestId)
        const entries = lines.map(({ record, text }): Entry => {
          const changes = ofRequest.get(record.id)
          return changes === undefined ? { body: record, text } : newEntry({ ...record, changes: changes.map(recordedChange) })
        })
        const before = await add(entries)
        if (rows.length === 0) continue
        // Of one that was sealed before, what came later is left to be a record by itself.
        const sealed = includedIn(before)
        done.push(...rows.filter(({ id, requestId }) => !before.has(uuidBytes(requestId).toString('hex')) || sealed.has(id)).map(({ id }) => id))
      }
    })
    if (done.length > 0) await this.#deps.forget(done)
  }

  /**
   * Does work in a transaction that has the chain's end for itself. `add` adds those to the chain that are not in it, and answers
   * the bodies of those that were, by their ids in hexadecimal.
   */
  async #inChain(work: (add: (entries: readonly Entry[]) => Promise<ReadonlyMap<string, string>>) => Promise<void>): Promise<void> {
    const { store, rollUp } = this.#deps
    try {
      await store.transaction(async (tx) => {
        const head = await lockHead(tx)
        const count = rollUp?.begin()
        let { seq, hash } = head
        await work(async (entries) => {
          const eventIds = entries.map(({ body }) => uuidBytes(body.id))
          const before = await findBodies(tx, eventIds)
          const added = new Set<string>()
          const events: NewEvent[] = []
          const moves: TagMove[] = []
          for (const [n, { body, text }] of entries.entries()) {
            const eventId = eventIds[n]!
            if (added.has(body.id) || (before.size > 0 && before.has(eventId.toString('hex')))) continue
            added.add(body.id)
            seq += 1
            hash = chainHash(hash, seq, text)
            events.push({ seq, eventId, occurredAt: body.at, body: text, hash, index: indexOf(body) })
            moves.push(...tagMovesOf(seq, body))
            count?.count(body)
          }
          await insertEvents(tx, this.#terms, events)
          await insertTagMoves(tx, this.#terms, moves)
          return before
        })
        if (seq === head.seq) return
        await setHead(tx, seq, hash)
        if (count !== undefined) await rollUp?.add(tx, count)
      })
    } catch (error) {
      // Names that were made in what was rolled back are not there.
      this.#terms.clear()
      rollUp?.forget()
      throw error
    }
  }
}

/** A segment's lines, read as they are needed. */
class SegmentReading {
  readonly #lines: Iterator<JournalLine | undefined, void, undefined>
  #next: JournalLine | undefined
  damaged = 0

  constructor(bytes: Buffer) {
    this.#lines = linesOf(bytes)
    this.#advance()
  }

  get isAtEnd(): boolean {
    return this.#next === undefined
  }

  take(count: number): JournalLine[] {
    const lines: JournalLine[] = []
    while (lines.length < count && this.#next !== undefined) {
      lines.push(this.#next)
      this.#advance()
    }
    return lines
  }

  #advance(): void {
    for (;;) {
      const { done, value } = this.#lines.next()
      this.#next = value === undefined ? undefined : value
      if (done === true || value !== undefined) return
      this.damaged += 1
    }
  }
}

/** A record that is to be sealed, and the text that it is kept as. */
interface Entry {
  readonly body: TrailBody
  readonly text: string
}

function newEntry(body: TrailBody): Entry {
  return { body, text: JSON.stringify(body) }
}

/** The ids of the changes that are told in bodies of requests. */
function includedIn(bodies: ReadonlyMap<string, string>): Set<number> {
  const ids = new Set<number>()
  for (const text of bodies.values()) {
    const body = JSON.parse(text) as TrailBody
    for (const { id } of isChangeBody(body) ? [body.change] : (body.changes ?? [])) ids.add(id)
  }
  return ids
}

function isOfRequest({ protocol }: ChangeRow): boolean {
  return protocol !== 'system'
}

function recordedChange({ id, occurredAt: at, action, resource, detail }: ChangeRow): RecordedChange {
  return { id, at, action, resource, detail: JSON.parse(detail) as RecordedChange['detail'] }
}

function changeBody(row: ChangeRow): ChangeBody {
  const { id, requestId, occurredAt, accountId, region, protocol, actor, resource, sourceIp, userAgent } = row
  return {
    kind: 'change',
    id: changeRecordId(requestId, id),
    requestId,
    at: occurredAt,
    account: accountId,
    region,
    protocol,
    source: sourceOfResource(resource),
    actorArn: actor,
    ip: sourceIp,
    agent: userAgent,
    change: recordedChange(row),
  }
}

/** Another server that uses the folder may have been faster. */
function ifGone(error: NodeJS.ErrnoException): undefined {
  if (error.code !== 'ENOENT') throw error
}
