import { constants, zstdCompressSync, zstdDecompressSync } from 'node:zlib'
import type { Session } from '../storage/metadata/session.ts'
import { tagsOf } from '../storage/metadata/stores/image-kin.ts'
import { imageSummaries } from '../storage/metadata/stores/lifecycle-preview-store.ts'
import type { EvaluationConditions } from './evaluate-repository.ts'
import { begun, nextTurn } from './pace.ts'
import type { Decision, Decisions } from './policy/index.ts'

/** Results looked up together, as evaluate-repository.ts has windows: about a quarter of a millisecond of work. */
const resultsPerSteps = { sqlite: 100, postgres: 250 } as const

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
  const page = new PageText()
  const resultsPerStep = resultsPerSteps[session.dialect]
  let pages: PreviewPage[] = []
  let stepsOfPage = 0
  const finishPage = async (): Promise<void> => {
    stepsOfPage = 0
    if (page.isEmpty) return
    pages.push(page.take())
    await pace()
  }
  const giveAway = async (): Promise<void> => {
    if (pages.length > 0) await onPages(pages)
    pages = []
  }
  for await (const step of resultsInSteps(session, decisions)) {
    signal?.throwIfAborted()
    page.add(step)
    stepsOfPage += 1
    await pace(resultsPerStep)
    if (stepsOfPage * resultsPerStep === resultsPerPage) await finishPage()
    if (pages.length === pagesTogether) await giveAway()
  }
  await finishPage()
  await giveAway()
  const count = (wanted: Decision['action']): number =>
    decisions.counts.reduce((sum, { policy, action, images }) => (policy === 0 && action === wanted ? sum + images : sum), 0)
  return { expire: count('expire'), transition: count('transition') }
}

/**
 * The results of a page as JSON, in memory that all pages use one after the other. Results are no objects any more when the page is
 * done: V8 would move those that live so long, and collect them later, each time for milliseconds.
 */
class PageText {
  #bytes = Buffer.alloc(256 * 1024)
  #sizeBytes = 0
  #firstManifestId = 0

  get isEmpty(): boolean {
    return this.#sizeBytes === 0
  }

  add({ firstManifestId, results }: Step): void {
    if (this.isEmpty) this.#firstManifestId = firstManifestId
    if (results.length > 0) this.#append(`${this.isEmpty ? '[' : ','}${JSON.stringify(results).slice(1, -1)}`)
  }

  take(): PreviewPage {
    this.#append(']')
    const text = this.#bytes.subarray(0, this.#sizeBytes)
    this.#sizeBytes = 0
    return { firstManifestId: this.#firstManifestId, results: zstdCompressSync(text, { params: quickest }) }
  }

  #append(text: string): void {
    const neededBytes = this.#sizeBytes + Buffer.byteLength(text)
    if (neededBytes > this.#bytes.length) this.#bytes = Buffer.concat([this.#bytes.subarray(0, this.#sizeBytes)], 2 * neededBytes)
    this.#sizeBytes += this.#bytes.write(text, this.#sizeBytes)
  }
}

interface Step {
  readonly firstManifestId: number
  readonly results: readonly StoredResult[]
}

/** Of what the first policy decided. One is read ahead: a database that is asked over a network answers it meanwhile. */
async function* resultsInSteps(session: Session, decisions: Decisions): AsyncGenerator<Step> {
  const steps = decisionsInSteps(decisions, resultsPerSteps[session.dialect])
  const begin = (): Promise<Step> | undefined => {
    const { value, done } = steps.next()
    return done === true ? undefined : begun(readStep(session, value))
  }
  for (let reading = begin(); reading !== undefined; ) {
    const step = await reading
    reading = begin()
    yield step
  }
}

function* decisionsInSteps(decisions: Decisions, size: number): Generator<readonly Decision[], undefined> {
  let step: Decision[] = []
  for (const decision of decisions) {
    if (decision.policy !== 0) continue
    step.push(decision)
    if (step.length < size) continue
    yield step
    step = []
  }
  if (step.length > 0) yield step
}

async function readStep(session: Session, decisions: readonly Decision[]): Promise<Step> {
  const ids = decisions.map(({ manifestId }) => manifestId)
  const [summaries, tagRows] = await Promise.all([imageSummaries(session, ids), tagsOf(session, ids)])
  const rows = new Map(summaries.map((row) => [row.id, row]))
  const tags = new Map<number, string[]>()
  for (const { id, tag } of tagRows) {
    const names = tags.get(id)
    if (names === undefined) tags.set(id, [tag])
    else names.push(tag)
  }
  const results = decisions.flatMap(({ manifestId, action, rule }): StoredResult[] => {
    const row = rows.get(manifestId)
    if (!row) return []
    const names = tags.get(manifestId)?.sort() ?? []
    return [[manifestId, row.digest, names, row.pushedAt, row.storageClass, action === 'expire' ? 0 : 1, rule]]
  })
  return { firstManifestId: ids[0]!, results }
}

/** Written by `readPreview` alone; not compressed where an earlier version did. */
export function readResults(results: Uint8Array): StoredResult[] {
  const json = results[0] === zstdMagic ? zstdDecompressSync(results) : Buffer.from(results)
  return JSON.parse(json.toString()) as StoredResult[]
}
