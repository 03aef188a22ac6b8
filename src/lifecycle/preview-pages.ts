import { constants, zstdCompressSync, zstdDecompressSync } from 'node:zlib'
import type { Session } from '../storage/metadata/session.ts'
import { tagsOf } from '../storage/metadata/stores/image-kin.ts'
import { imageSummaries } from '../storage/metadata/stores/lifecycle-preview-store.ts'
import { digestFromBytes } from '../values/index.ts'
import type { EvaluationConditions } from './evaluate-repository.ts'
import { nextTurn, type Pace } from './pace.ts'
import type { Decision, Decisions } from './policy/index.ts'

/** Results kept together: a page of the API is at most a tenth. */
const resultsPerPage = 1000

/** Results looked up together: about half a millisecond of work. */
const resultsPerStep = 200

/** A result as it is kept: short, since there may be a million. */
export type StoredResult = readonly [
  id: number,
  digest: string,
  tags: readonly string[],
  pushedAt: number,
  storageClass: string,
  action: 0 | 1,
  rule: number,
]

/** Given to whoever keeps them together, in one change of the database; a hundred kilobytes. */
const pagesTogether = 4

/** Results in the order of the images' numbers, as compressed JSON. */
export interface PreviewPage {
  readonly firstManifestId: number
  readonly results: Uint8Array
}

export interface PreviewSummary {
  readonly expire: number
  readonly transition: number
}

/** Half the size is digests, which nothing makes smaller. */
const quickest = { [constants.ZSTD_c_compressionLevel]: 1 }
/** The first byte of a zstd frame (RFC 8878, section 3.1.1); JSON begins with a bracket. */
const zstdMagic = 0x28

/** What the first policy would do, some pages at a time. Images that are gone meanwhile are left out. */
export async function readPreview(
  session: Session,
  decisions: Decisions,
  onPages: (pages: readonly PreviewPage[]) => Promise<void>,
  { signal, pace = nextTurn }: EvaluationConditions = {},
): Promise<PreviewSummary> {
  let waiting: Decision[] = []
  let pages: PreviewPage[] = []
  const finishPage = async (): Promise<void> => {
    signal?.throwIfAborted()
    if (waiting.length > 0) pages.push(await storedPage(session, waiting, pace))
    waiting = []
    await pace()
  }
  const giveAway = async (): Promise<void> => {
    if (pages.length > 0) await onPages(pages)
    pages = []
  }
  for (const decision of decisions) {
    if (decision.policy !== 0) continue
    waiting.push(decision)
    if (waiting.length === resultsPerPage) await finishPage()
    if (pages.length === pagesTogether) await giveAway()
  }
  await finishPage()
  await giveAway()
  const count = (wanted: Decision['action']): number =>
    decisions.counts.reduce((sum, { policy, action, images }) => (policy === 0 && action === wanted ? sum + images : sum), 0)
  return { expire: count('expire'), transition: count('transition') }
}

async function storedPage(session: Session, decisions: readonly Decision[], pace: Pace): Promise<PreviewPage> {
  const results: StoredResult[] = []
  for (let start = 0; start < decisions.length; start += resultsPerStep) {
    results.push(...(await resultsOf(session, decisions.slice(start, start + resultsPerStep))))
    await pace()
  }
  const json = JSON.stringify(results)
  await pace()
  // A copy of its own, which can be handed over: small results would lie in memory that others share.
  return { firstManifestId: decisions[0]!.manifestId, results: new Uint8Array(zstdCompressSync(json, { params: quickest })) }
}

async function resultsOf(session: Session, decisions: readonly Decision[]): Promise<StoredResult[]> {
  const ids = decisions.map(({ manifestId }) => manifestId)
  const rows = new Map((await imageSummaries(session, ids)).map((row) => [row.id, row]))
  const tags = new Map<number, string[]>()
  for (const { id, tag } of await tagsOf(session, ids)) {
    const names = tags.get(id)
    if (names === undefined) tags.set(id, [tag])
    else names.push(tag)
  }
  return decisions.flatMap(({ manifestId, action, rule }): StoredResult[] => {
    const row = rows.get(manifestId)
    if (!row) return []
    const names = tags.get(manifestId)?.sort() ?? []
    return [[manifestId, digestFromBytes(row.digest), names, row.pushedAt, row.storageClass, action === 'expire' ? 0 : 1, rule]]
  })
}

/** Written by `storedPage` alone; not compressed where an earlier version did. */
export function readResults(results: Uint8Array): StoredResult[] {
  const json = results[0] === zstdMagic ? zstdDecompressSync(results) : Buffer.from(results)
  return JSON.parse(json.toString()) as StoredResult[]
}
