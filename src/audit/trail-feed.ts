import { firstRecordSince, readRecords, readWrites } from '../storage/metadata/observe/cursor-store.ts'
import { readHead } from '../storage/metadata/observe/audit-store.ts'
import type { Session } from '../storage/metadata/session.ts'
import { pullEventType, toldEvents, type ToldEvent } from './told-events.ts'
import { trailName, type TrailBody } from './trail-record.ts'

/** The trail in the order of its records, for whoever tells of it. */
export class TrailFeed {
  readonly #session: Session

  constructor(session: Session) {
    this.#session = session
  }

  /** The number of the last record. */
  async end(): Promise<number> {
    return (await readHead(this.#session)).seq
  }

  /** What records behind a number tell, and the number up to which that is. Pulls, which are most of a trail, only where they are wanted. */
  async after(seq: number, { pulls, limit }: { readonly pulls: boolean; readonly limit: number }): Promise<{ readonly events: readonly ToldEvent[]; readonly seq: number }> {
    const end = await this.end()
    const rows = await (pulls ? readRecords : readWrites)(this.#session, { after: seq, until: end, limit })
    const events = rows.flatMap(({ body }) => toldEvents(JSON.parse(body) as TrailBody)).filter(({ type }) => pulls || type !== pullEventType)
    return { events, seq: rows.length < limit ? Math.max(seq, end) : (rows.at(-1)?.seq ?? seq) }
  }

  /** The number before the first record of a registry that came at a time or later; the end's where there is none. */
  async before(account: string, region: string, at: number): Promise<number> {
    const end = await this.end()
    const first = await firstRecordSince(this.#session, trailName(account, region), at)
    return first === undefined ? end : first - 1
  }
}
