import { constants, zstdCompressSync, zstdDecompressSync } from 'node:zlib'
import type { Session } from '../storage/metadata/session.ts'
import { tagsOf } from '../storage/metadata/stores/image-kin.ts'
import { imageSummaries } from '../storage/metadata/stores/lifecycle-preview-store.ts'
import { digestFromBytes } from '../values/index.ts'
import type { EvaluationConditions } from './evaluate-repository.ts'
import { nextTurn } from './pace.ts'
import type { Decision, Decisions } from './policy/index.ts'

/** Results kept together: a page of the API is at most a tenth. */
const resultsPerPage = 1000

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

/** What the first policy would do, page by page. Images that are gone meanwhile are left out. */
export async function readPreview(
  session: Session,
  decisions: Decisions,
  onPage: (page: PreviewPage) => Promise<void>,
  { signal, pace = nextTurn }: EvaluationConditions = {},
): Promise<PreviewSummary> {
  let waiting: Decision[] = []
  const flush = async (): Promise<void> => {
    signal?.throwIfAborted()
    if (waiting.length > 0) await onPage(await storedPage(session, waiting))
    waiting = []
    await pace()
  }
  for (const decision of decisions) {
    if (decision.policy !== 0) continue
    waiting.push(decision)
    if (waiting.length === resultsPerPage) await flush()
  }
  await flush()
  const count = (wanted: Decision['action']): number =>
    decisions.counts.reduce((sum, { policy, action, images }) => (policy === 0 && action === wanted ? sum + images : sum), 0)
  return { expire: count('expire'), transition: count('transition') }
}

async function storedPage(session: Session, decisions: readonly Decision[]): Promise<PreviewPage> {
  const ids = decisions.map(({ manifestId }) => manifestId)
  const rows = new Map((await imageSummaries(session, ids)).map((row) => [row.id, row]))
  const tags = Map.groupBy(await tagsOf(session, ids), ({ id }) => id)
  const results = decisions.flatMap(({ manifestId, action, rule }): StoredResult[] => {
    const row = rows.get(manifestId)
    if (!row) return []
    const names = (tags.get(manifestId) ?? []).map(({ tag }) => tag).sort()
    return [[manifestId, digestFromBytes(row.digest), names, row.pushedAt, row.storageClass, action === 'expire' ? 0 : 1, rule]]
  })
  // A copy of its own, which can be handed over: small results would lie in memory that others share.
  return { firstManifestId: ids[0]!, results: new Uint8Array(zstdCompressSync(JSON.stringify(results), { params: quickest })) }
}

/** Written by `storedPage` alone; not compressed where an earlier version did. */
export function readResults(results: Uint8Array): StoredResult[] {
  const json = results[0] === zstdMagic ? zstdDecompressSync(results) : Buffer.from(results)
  return JSON.parse(json.toString()) as StoredResult[]
}
