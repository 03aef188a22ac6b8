import { findBodiesBySeq, findNextTagMove, findTagMoves, oldestRecordAt, type TagMoveRow } from '../storage/metadata/observe/tag-move-store.ts'
import { readHead } from '../storage/metadata/observe/audit-store.ts'
import type { Session } from '../storage/metadata/session.ts'
import { isReturn } from './tag-moves.ts'
import { isChangeBody, trailName, type TrailBody } from './trail-record.ts'

export interface TagOfRepository {
  readonly account: string
  readonly region: string
  readonly repository: string
  readonly tag: string
}

/** What became of a tag, and who did it. */
export interface TagHistoryEntry {
  /** The end of the change's record in the trail. */
  readonly eventId: string
  readonly at: number
  /** Such as `PutImage`; `DeleteRepository` and its `RestoreTrash` are of all tags. */
  readonly action: string
  /** What the tag named from then on; undefined: nothing. */
  readonly digest: string | undefined
  readonly previous: string | undefined
  readonly actorArn: string
  readonly ip: string
  readonly agent: string
}

/** How far back the trail tells. */
export interface TrailReach {
  /** When its oldest record came; undefined: it has none. */
  readonly beginsAt: number | undefined
  /** Older ones were removed for their age. */
  readonly isCut: boolean
}

export interface TagHistoryPage {
  readonly entries: readonly TagHistoryEntry[]
  /** Where the next page begins; undefined for the last one. */
  readonly next: string | undefined
}

export interface TagState {
  /**
   * `recorded`: by the change that made it so. `deduced`: there is no record of it, and the next change says what was until then.
   * `unknown`: the trail says nothing of the tag.
   */
  readonly source: 'recorded' | 'deduced' | 'unknown'
  /** Undefined: the tag named nothing, or nobody knows. */
  readonly digest: string | undefined
  /** The change that made it so, or of which it is deduced. */
  readonly by: TagHistoryEntry | undefined
}

/**
 * Changes that came closer together than this are told in the order of their numbers: a request that began before another may have
 * waited for it.
 */
const concurrentMs = 10_000
/** Looked at for a state: of so many at once one is the last. */
const nearby = 50
const maxReturns = 20

/** What a tag named, as the audit trail tells it: pushes, deletions, lifecycle runs, restores. */
export class TagHistory {
  readonly #session: Session

  constructor(session: Session) {
    this.#session = session
  }

  async reach(): Promise<TrailReach> {
    const { cutSeq } = await readHead(this.#session)
    return { beginsAt: await oldestRecordAt(this.#session), isCut: cutSeq > 0 }
  }

  /** The changes of a tag, the newest first. */
  async list(of: TagOfRepository, page: { readonly until: number; readonly limit: number; readonly after: string | undefined }): Promise<TagHistoryPage> {
    const rows = await this.#moves(of, page.until, page.limit + 1, positionOf(page.after))
    const shown = rows.slice(0, page.limit)
    const last = shown.at(-1)
    return {
      entries: await this.#entries(of, inOrder(shown)),
      next: rows.length > page.limit && last !== undefined ? `${last.at}.${last.changeId}` : undefined,
    }
  }

  /** What a tag named at a time. */
  async stateAt(of: TagOfRepository, at: number): Promise<TagState> {
    const [newest] = inOrder(await this.#moves(of, at, nearby))
    const [entry] = newest === undefined ? [] : await this.#entries(of, [newest])
    if (entry !== undefined) return { source: 'recorded', digest: entry.digest, by: entry }
    const next = await findNextTagMove(this.#session, { ...placeOf(of), tag: of.tag, after: at })
    if (next === undefined) return { source: 'unknown', digest: undefined, by: undefined }
    const [by] = await this.#entries(of, [next])
    return { source: 'deduced', digest: next.previous ?? undefined, by }
  }

  /** Of the tag, and of the whole repository as long as the tag has a history before that. */
  async #moves(of: TagOfRepository, until: number, limit: number, before?: { readonly at: number; readonly changeId: number }): Promise<TagMoveRow[]> {
    const query = { ...placeOf(of), until, before, limit }
    const own = await findTagMoves(this.#session, { ...query, tag: of.tag })
    const whole = await findTagMoves(this.#session, { ...query, tag: '' })
    const oldestOwn = own.length < limit ? own.at(-1) : undefined
    const all = [...own, ...whole.filter((row) => own.length === limit || (oldestOwn !== undefined && isBefore(oldestOwn, row)))]
    return all.toSorted((a, b) => b.at - a.at || b.changeId - a.changeId).slice(0, limit)
  }

  async #entries(of: TagOfRepository, rows: readonly TagMoveRow[]): Promise<TagHistoryEntry[]> {
    const bodies = await findBodiesBySeq(this.#session, rows.map(({ seq }) => seq))
    const entries: TagHistoryEntry[] = []
    for (const row of rows) {
      const text = bodies.get(row.seq)
      // Removed for its age just now.
      if (text === undefined) continue
      const body = JSON.parse(text) as TrailBody
      const change = isChangeBody(body) ? body.change : body.changes?.find(({ id }) => id === row.changeId)
      const returned = change !== undefined && row.tag === '' && isReturn(change)
      entries.push({
        eventId: body.id,
        at: row.at,
        action: change?.action ?? '',
        digest: returned ? await this.#digestBefore(of, row) : (row.digest ?? undefined),
        previous: row.previous ?? undefined,
        actorArn: (isChangeBody(body) ? body.actorArn : body.actor?.arn) ?? '',
        ip: body.ip,
        agent: body.agent ?? '',
      })
    }
    return entries
  }

  /** What the tag named when a repository went that came back: the change before that deletion says it. */
  async #digestBefore(of: TagOfRepository, returned: TagMoveRow): Promise<string | undefined> {
    let row = returned
    for (let turns = 0; turns < maxReturns; turns += 1) {
      const before: { readonly at: number; readonly changeId: number } = row
      const batch = row.batch
      const whole = await findTagMoves(this.#session, { ...placeOf(of), tag: '', until: before.at, before, limit: nearby })
      const deletion = whole.find((move) => move.batch === batch)
      if (deletion === undefined) return undefined
      const [newest] = await this.#moves(of, deletion.at, 1, deletion)
      if (newest === undefined || newest.tag !== '') return newest?.digest ?? undefined
      // It had come back before, from an earlier deletion; or another of its name was deleted.
      row = newest
    }
    return undefined
  }
}

function placeOf({ account, region, repository }: TagOfRepository): { readonly trail: string; readonly repository: string } {
  return { trail: trailName(account, region), repository }
}

function isBefore(a: TagMoveRow, b: TagMoveRow): boolean {
  return a.at < b.at || (a.at === b.at && a.changeId < b.changeId)
}

/** The newest first, by numbers where times are close together. */
function inOrder(rows: readonly TagMoveRow[]): TagMoveRow[] {
  const ordered: TagMoveRow[] = []
  let group: TagMoveRow[] = []
  for (const row of rows) {
    const last = group.at(-1)
    if (last !== undefined && last.at - row.at > concurrentMs) {
      ordered.push(...group.toSorted((a, b) => b.changeId - a.changeId))
      group = []
    }
    group.push(row)
  }
  return [...ordered, ...group.toSorted((a, b) => b.changeId - a.changeId)]
}

function positionOf(after: string | undefined): { readonly at: number; readonly changeId: number } | undefined {
  if (after === undefined) return undefined
  const [at = '', changeId = ''] = after.split('.')
  return { at: Number(at), changeId: Number(changeId) }
}
