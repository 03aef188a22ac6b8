import type { BlobStore } from '../storage/blobs/index.ts'
import type { Session } from '../storage/metadata/session.ts'
import {
  blobsOfDigest,
  namersOfBlob,
  placesOfBlob,
  repositoriesThatSee,
  reviewsOfBlob,
  type BlobReview,
  type ExplainedPlace,
  type Namer,
  type SeenIn,
} from '../storage/metadata/stores/blob-explanation.ts'
import { installationHolds } from '../storage/metadata/stores/hold-store.ts'
import { blobPromiseMs } from '../storage/metadata/stores/review-queue.ts'
import type { Digest } from '../values/index.ts'
import { findPause } from './pause.ts'

/** Why the bytes of a blob are there, or when they go. */
export interface BlobExplanation {
  readonly digest: Digest
  readonly domain: string
  readonly sizeBytes: number
  readonly createdAt: number
  /**
   * - `kept`: something needs it.
   * - `waiting`: nothing will need it once what is known to end has ended.
   * - `going`: its bytes are being deleted.
   * - `forgotten`: nothing needs it and nothing is going to look at it, until store and database are compared.
   */
  readonly verdict: 'kept' | 'waiting' | 'going' | 'forgotten'
  /** When its bytes go at the earliest, if nobody comes to need it. */
  readonly goesAfter: number | undefined
  /** Each a sentence without its full stop. */
  readonly reasons: readonly string[]
  readonly places: readonly ExplainedPlace[]
  /** Living images; where there are none those in the trash. Some of them, where `hasMoreNamers`. */
  readonly namedBy: readonly Namer[]
  readonly hasMoreNamers: boolean
  readonly seenIn: readonly SeenIn[]
  readonly hasMoreSeers: boolean
  readonly reviews: readonly BlobReview[]
}

export interface ExplainDependencies {
  readonly reader: Session
  readonly blobStore: Pick<BlobStore, 'isHeld'>
  readonly now: number
  readonly homeRegistryId: number
}

const maxShown = 100

/** One for each domain that has a blob of the digest; none where there is no such blob. */
export async function explainBlobs(deps: ExplainDependencies, digest: Digest): Promise<BlobExplanation[]> {
  const explanations: BlobExplanation[] = []
  for (const blob of await blobsOfDigest(deps.reader, digest)) {
    const { id, domainId, domain, sizeBytes, createdAt } = blob
    const namers = await namersOfBlob(deps.reader, { domainId, digest }, maxShown + 1)
    const seers = await repositoriesThatSee(deps.reader, id, maxShown + 1)
    const found = {
      places: await placesOfBlob(deps.reader, id),
      namedBy: namers.slice(0, maxShown),
      hasMoreNamers: namers.length > maxShown,
      seenIn: seers.slice(0, maxShown),
      hasMoreSeers: seers.length > maxShown,
      reviews: await reviewsOfBlob(deps.reader, id),
    }
    explanations.push({ digest, domain, sizeBytes, createdAt, ...(await judge(deps, found)), ...found })
  }
  return explanations
}

type Found = Pick<BlobExplanation, 'places' | 'namedBy' | 'hasMoreNamers' | 'seenIn' | 'hasMoreSeers' | 'reviews'>

async function judge(deps: ExplainDependencies, found: Found): Promise<Pick<BlobExplanation, 'verdict' | 'goesAfter' | 'reasons'>> {
  const { places, namedBy, seenIn, reviews } = found
  const reasons: string[] = []
  const living = namedBy.filter(({ purgeAfter }) => purgeAfter === null)
  const trashed = namedBy.filter(({ purgeAfter }) => purgeAfter !== null)
  if (living.length > 0) {
    const { repository, digest, accountId } = living[0]!
    const more = living.length > 1 || found.hasMoreNamers ? ` and ${found.hasMoreNamers ? 'at least ' : ''}${living.length - 1} more` : ''
    reasons.push(`${repository}@${digest} of account ${accountId}${more} ${more === '' ? 'names' : 'name'} it`)
  }
  const lastPurge = Math.max(...trashed.map(({ purgeAfter }) => purgeAfter ?? 0))
  if (trashed.length > 0) reasons.push(`${found.hasMoreNamers ? 'at least ' : ''}${trashed.length} images in the trash name it, the last of them until ${timeText(lastPurge)}`)
  // What an image of the repository uses is looked at when that image goes.
  const own = new Set(living.map(({ accountId, region, repository }) => `${accountId} ${region} ${repository}`))
  const unused = seenIn.filter(({ accountId, region, repository }) => !own.has(`${accountId} ${region} ${repository}`))
  for (const { repository, accountId, dueAt } of unused.slice(0, maxSeersTold)) {
    const when = dueAt === null ? 'nothing looks at that until store and database are compared' : `that is looked at after ${timeText(dueAt)}`
    reasons.push(`${repository} of account ${accountId} sees it, by a push or a mount that no living image uses: ${when}`)
  }
  const ofBlob = reviews.find(({ kind }) => kind === 'blob')
  if (ofBlob !== undefined) reasons.push(`whether anything needs it is looked at after ${timeText(ofBlob.dueAt)} (${ofBlob.reason})`)
  const going = places.filter(({ state }) => state === 'deleting')
  if (going.length > 0) reasons.push(going.length === places.length ? 'its bytes are being deleted' : `${going.length} of its ${places.length} copies are being deleted`)
  for (const { state, store } of places) if (state === 'quarantined') reasons.push(`a copy in ${store} is set aside, because its bytes were found damaged or missing`)
  reasons.push(...(await stopReasons(deps)))
  return { ...verdictOf({ living, unused, lastPurge: trashed.length > 0 ? lastPurge : undefined, going: going.map(({ dueAt }) => dueAt), placeCount: places.length, dueAt: ofBlob?.dueAt }, deps.now), reasons }
}

/** Repositories told of one by one. */
const maxSeersTold = 5

async function stopReasons({ reader, blobStore, now, homeRegistryId }: ExplainDependencies): Promise<string[]> {
  const reasons: string[] = []
  const pause = await findPause(reader, now)
  if (pause !== undefined) reasons.push(`collection is paused by ${pause.pausedBy}${pause.endsAt === undefined ? '' : ` until ${timeText(pause.endsAt)}`}: ${pause.reason}`)
  const holds = await installationHolds(reader, homeRegistryId)
  if (holds.length > 0) reasons.push(`the installation is on hold (${holds.join(', ')}): no bytes go`)
  if (await blobStore.isHeld(now)) reasons.push('a backup reads: no bytes go until it is done')
  return reasons
}

interface Facts {
  readonly living: readonly Namer[]
  readonly unused: readonly SeenIn[]
  readonly lastPurge: number | undefined
  /** When what is going is due. */
  readonly going: readonly (number | null)[]
  readonly placeCount: number
  readonly dueAt: number | undefined
}

function verdictOf({ living, unused, lastPurge, going, placeCount, dueAt }: Facts, now: number): Pick<BlobExplanation, 'verdict' | 'goesAfter'> {
  if (living.length > 0) return { verdict: 'kept', goesAfter: undefined }
  if (going.length > 0 && going.length === placeCount) return { verdict: 'going', goesAfter: Math.max(now, ...going.map((due) => due ?? now)) }
  const sightDues = unused.map((sight) => sight.dueAt)
  // A repository whose sight nothing will look at keeps it.
  if (sightDues.includes(null)) return { verdict: 'forgotten', goesAfter: undefined }
  // After each of these the blob itself is looked at, once no client can rely on an answer about it any more.
  const before = [...sightDues.flatMap((due) => (due === null ? [] : [due + blobPromiseMs])), ...(lastPurge === undefined ? [] : [lastPurge + blobPromiseMs]), ...(dueAt === undefined ? [] : [dueAt])]
  if (before.length === 0) return { verdict: 'forgotten', goesAfter: undefined }
  return { verdict: 'waiting', goesAfter: Math.max(now, ...before) }
}

function timeText(ms: number): string {
  return new Date(ms).toISOString()
}
