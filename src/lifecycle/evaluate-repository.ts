import { toldEndOf } from '../registry/retirement-states.ts'
import type { Session } from '../storage/metadata/session.ts'
import {
  childrenOfIndexes,
  configTypesOfWindow,
  factWindow,
  hasMoreImagesThan,
  pullsOfWindow,
  tagsOfWindow,
  usesOfWindow,
  type FactRow,
} from '../storage/metadata/stores/lifecycle-facts.ts'
import { labelsOfChildren, labelsOfWindow } from '../storage/metadata/stores/manifest-label-store.ts'
import { hasNoticesByRule, noticesOfWindow, type NoticeRow } from '../storage/metadata/stores/retirement-store.ts'
import { findLivingManifests } from '../storage/metadata/stores/manifest-store.ts'
import { digestFromBytes, type Digest } from '../values/index.ts'
import { artifactClassOf, Evaluation, type Action, type CompiledPolicy, type DecidedParts, type FactNeeds, type ImageFacts, type TagFact } from './policy/index.ts'
import { Column, uint32 } from './policy/columns.ts'
import { fingerprintOf } from './fingerprint.ts'
import { begun, nextTurn, type Pace } from './pace.ts'

/**
 * Images read in one step: about a quarter of a millisecond, after which others have their turn. Of PostgreSQL more: each step asks it
 * twice at least, and it does most of the work itself.
 */
const windowSizes = { sqlite: 100, postgres: 250 } as const

/** What an evaluation comes to, without anything that only lives in one thread. */
export interface EvaluationParts {
  readonly decided: DecidedParts
  /** Of each image in the order of the columns: what is looked at again before it goes. Empty where nobody asked for them. */
  readonly fingerprints: Uint32Array
  /** The highest number of an image that was looked at; 0 without any. */
  readonly newestId: number
  /** As `EvaluatedRepository` has it. */
  readonly surprising: number | undefined
}

export interface CompiledRequest {
  readonly repositoryId: number
  readonly policies: readonly CompiledPolicy[]
  readonly nowMs: number
  /** Images of which `why` will be asked. */
  readonly watch?: ReadonlySet<number>
  /** Something may be done by it, and each image is looked at again before. */
  readonly withFingerprints: boolean
  readonly conditions?: EvaluationConditions
}

/** How an evaluation goes about it; nothing of it changes what it comes to. */
export interface EvaluationConditions {
  /** Ends the reading; the promise rejects with the signal's reason. */
  readonly signal?: AbortSignal | undefined
  /** Awaited between steps of about half a millisecond; other evaluations of the thread have their turn meanwhile. */
  readonly pace?: Pace | undefined
  /** Where the repository has more, the promise rejects with `TooManyImages`. */
  readonly maxImages?: number | undefined
}

export class TooManyImages extends Error {
  override readonly name = 'TooManyImages'
}

/**
 * What policies come to for the images of a repository as they are now. Reads them in small steps, without holding anything up:
 * what changes meanwhile may or may not be seen, which is why whoever acts on it looks at each image again.
 */
export async function evaluateRepository(session: Session, request: CompiledRequest): Promise<EvaluationParts> {
  const { repositoryId, policies, nowMs, watch, withFingerprints, conditions = {} } = request
  const { signal, pace = nextTurn, maxImages = Infinity } = conditions
  if (maxImages !== Infinity && (await hasMoreImagesThan(session, repositoryId, maxImages))) {
    throw new TooManyImages(`the repository has more than ${maxImages} images`)
  }
  const needs = needsOf(policies)
  const evaluation = new Evaluation(policies, nowMs, watch === undefined ? {} : { watch })
  const indexes = await readIndexes(session, repositoryId, needs, signal, pace)
  // What was told by rules that are gone is to be taken back.
  const hasNotices = policies.some(({ rules }) => rules.some(({ notice }) => notice !== undefined)) || (await hasNoticesByRule(session, repositoryId))
  const fingerprints = new Column(uint32)
  // Of what an index lists the labels are its own too.
  const withKinds = needs.classes || needs.labels || needs.annotations
  let count = 0
  const windowSize = windowSizes[session.dialect]
  const windowAfter = (after: number): Promise<FactRow[]> => begun(factWindow(session, { repositoryId, after, limit: windowSize, withKinds }))
  for (let reading = windowAfter(0); ; ) {
    signal?.throwIfAborted()
    const rows = await reading
    if (rows.length === 0) break
    // A database that is asked over a network has the next ready when this one has been looked at.
    reading = windowAfter(rows.at(-1)!.id)
    for (const facts of await factsOf(session, repositoryId, rows, needs, { ...indexes, hasNotices })) {
      evaluation.add(facts)
      if (!withFingerprints) continue
      fingerprints.reserve(count)
      fingerprints.values[count++] = fingerprintOf(facts)
    }
    await pace(rows.length)
  }
  const deciding = evaluation.decideInSteps()
  let step = deciding.next()
  for (; step.done !== true; step = deciding.next()) {
    signal?.throwIfAborted()
    await pace()
  }
  const { parts } = step.value
  return { decided: parts, fingerprints: fingerprints.values.subarray(0, count), newestId: parts.columns.ids.at(-1) ?? 0, surprising: undefined }
}

/** What the policies ask of images together. Only those of the second grammar tell classes apart. */
interface Needs extends FactNeeds {
  readonly classes: boolean
}

function needsOf(policies: readonly CompiledPolicy[]): Needs {
  const any = (ask: (policy: CompiledPolicy) => boolean): boolean => policies.some(ask)
  return {
    labels: any(({ needs }) => needs.labels),
    annotations: any(({ needs }) => needs.annotations),
    tagTimes: any(({ needs }) => needs.tagTimes),
    pulls: any(({ needs }) => needs.pulls),
    uses: any(({ needs }) => needs.uses),
    classes: any(({ grammar }) => grammar === 'retention'),
  }
}

/** What the living indexes of a repository tell of other images. */
interface IndexFacts {
  /** Listed by one of them. */
  readonly listed: ReadonlySet<number>
  /** Listed by one that is not in the archive. */
  readonly listedInUse: ReadonlySet<number>
  /** The latest pull and use of what an index lists, by the index. */
  readonly pulls: ReadonlyMap<number, number>
  readonly uses: ReadonlyMap<number, number>
  /** Indexes that list no manifest. */
  readonly ofBlobs: ReadonlySet<number>
}

async function readIndexes(session: Session, repositoryId: number, needs: Needs, signal: AbortSignal | undefined, pace: Pace): Promise<IndexFacts> {
  const listed = new Set<number>()
  const listedInUse = new Set<number>()
  const pulls = new Map<number, number>()
  const uses = new Map<number, number>()
  const ofBlobs = new Set<number>()
  for (let after = 0; ; ) {
    signal?.throwIfAborted()
    const page = await childrenOfIndexes(session, { repositoryId, after, limit: windowSizes[session.dialect] })
    if (page === undefined) return { listed, listedInUse, pulls, uses, ofBlobs }
    const withManifests = new Set<number>()
    for (const { indexId, indexClass, childId, lastPulledAt, lastUsedAt } of page.children) {
      if (childId === null) continue
      listed.add(childId)
      if (indexClass !== 'archived') listedInUse.add(childId)
      withManifests.add(indexId)
      if (needs.pulls || needs.uses) raise(pulls, indexId, lastPulledAt)
      if (needs.uses) raise(uses, indexId, lastUsedAt)
    }
    if (needs.classes) for (const { indexId } of page.children) if (!withManifests.has(indexId)) ofBlobs.add(indexId)
    after = page.lastId
    await pace()
  }
}

function raise(times: Map<number, number>, id: number, time: number | null): void {
  if (time !== null && time > (times.get(id) ?? 0)) times.set(id, time)
}

/** The images of a window, by their numbers. */
interface Span {
  readonly repositoryId: number
  readonly from: number
  readonly to: number
}

/** The facts of a window's images. */
async function factsOf(
  session: Session,
  repositoryId: number,
  rows: readonly FactRow[],
  needs: Needs,
  indexes: IndexFacts & { readonly hasNotices: boolean },
): Promise<ImageFacts[]> {
  const span: Span = { repositoryId, from: rows[0]!.id, to: rows.at(-1)!.id }
  const tags = new Map<number, TagFact[]>()
  for (const { manifestId, name, taggedAt } of await tagsOfWindow(session, span)) {
    const held = tags.get(manifestId)
    if (held) held.push({ name, taggedAt })
    else tags.set(manifestId, [{ name, taggedAt }])
  }
  // A rule by use looks at pulls as well.
  const pulls = byId(needs.pulls || needs.uses ? await pullsOfWindow(session, span) : [], ({ lastPulledAt }) => lastPulledAt)
  const uses = byId(needs.uses ? await usesOfWindow(session, span) : [], ({ lastUsedAt }) => lastUsedAt)
  const configs = byId(needs.classes ? await configTypesOfWindow(session, span) : [], ({ mediaType }) => mediaType)
  const notices = byId(indexes.hasNotices ? await noticesOfWindow(session, span) : [], noticeOf)
  const subjects = await livingSubjects(session, repositoryId, rows)
  const described = needs.labels || needs.annotations ? await descriptionsOf(session, span, rows) : undefined
  const unread: Description = { labels: {}, annotations: {}, isUnread: true }
  return rows.map((row) => {
    const held = tags.get(row.id) ?? []
    // One that came just now has not been read either.
    const description = described && (described.get(row.id) ?? unread)
    return {
      manifestId: row.id,
      tags: held,
      storageClass: row.storageClass as ImageFacts['storageClass'],
      pushedAt: row.pushedAt,
      lastPulledAt: later(pulls.get(row.id), indexes.pulls.get(row.id)),
      lastUsedAt: later(uses.get(row.id), indexes.uses.get(row.id)),
      lastActivatedAt: row.lastActivatedAt ?? undefined,
      lastArchivedAt: row.lastArchivedAt ?? undefined,
      artifactClass: needs.classes && row.kinds !== undefined
        ? artifactClassOf({
            kind: row.kinds.kind as 'image' | 'index' | 'other',
            mediaType: row.kinds.mediaType,
            artifactType: row.kinds.artifactType ?? undefined,
            configMediaType: configs.get(row.id),
            tags: held.map(({ name }) => name),
            listsOnlyBlobs: indexes.ofBlobs.has(row.id),
          })
        : 'image',
      labels: description?.labels,
      annotations: description?.annotations,
      isUnread: description?.isUnread,
      notice: notices.get(row.id),
      // An index in the archive needs none of what it lists to be pulled: what else is active may follow it.
      isPartOfUnit: (row.storageClass === 'active' ? indexes.listedInUse : indexes.listed).has(row.id) || (row.subject !== null && subjects.has(digestFromBytes(row.subject))),
    }
  })
}

interface Description {
  readonly labels: Readonly<Record<string, string>>
  readonly annotations: Readonly<Record<string, string>>
  /** Not all of it is known. */
  readonly isUnread: boolean
}

/** An index also has what its children say; of two that say different things the first. */
async function descriptionsOf(session: Session, span: Span, rows: readonly FactRow[]): Promise<ReadonlyMap<number, Description>> {
  const descriptions = new Map<number, Description>()
  const indexIds = rows.flatMap(({ id, kinds }) => (kinds?.kind === 'index' ? [id] : []))
  const own = await labelsOfWindow(session, span)
  const isRead = new Set(own.map(({ manifestId }) => manifestId))
  for (const { manifestId, ...read } of [...own, ...(await labelsOfChildren(session, indexIds))]) {
    const known = descriptions.get(manifestId)
    const labels = textsOf(read.labels)
    const annotations = textsOf(read.annotations)
    descriptions.set(manifestId, {
      labels: { ...labels, ...known?.labels },
      annotations: { ...annotations, ...known?.annotations },
      isUnread: !isRead.has(manifestId) || known?.isUnread === true || labels === undefined || annotations === undefined,
    })
  }
  return descriptions
}

/** Written by `readImageLabels` alone. Undefined: not read, or too much. */
function textsOf(json: string | null): Readonly<Record<string, string>> | undefined {
  return (JSON.parse(json ?? 'null') as Readonly<Record<string, string>> | null) ?? undefined
}

/** Of the digests that the rows refer to those that are living images of the repository. */
async function livingSubjects(session: Session, repositoryId: number, rows: readonly FactRow[]): Promise<ReadonlySet<Digest>> {
  const named = [...new Set(rows.flatMap(({ subject }) => (subject === null ? [] : [digestFromBytes(subject)])))]
  if (named.length === 0) return new Set()
  return new Set((await findLivingManifests(session, repositoryId, named)).map(({ digest }) => digest))
}

function byId<Row extends { readonly manifestId: number }, Value>(rows: readonly Row[], valueOf: (row: Row) => Value): Map<number, Value> {
  return new Map(rows.map((row) => [row.manifestId, valueOf(row)]))
}

function noticeOf(notice: NoticeRow): NonNullable<ImageFacts['notice']> {
  const { ruleAction, since } = notice
  return { action: ruleAction === null ? undefined : (ruleAction as Action), since, until: toldEndOf(notice) }
}

function later(one: number | undefined, other: number | undefined): number | undefined {
  if (one === undefined) return other
  return other === undefined || one > other ? one : other
}
