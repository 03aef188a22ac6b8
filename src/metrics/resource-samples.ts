import { addPoints, dimensionsText, rememberSeries, takeMark, type Addition, type Dimension } from '../storage/metadata/observe/metric-store.ts'
import type { ObserveStore } from '../storage/metadata/observe/store.ts'
import type { Session } from '../storage/metadata/session.ts'
import { countReviews } from '../storage/metadata/stores/review-counts.ts'
import { listBiggestRepositories, listRegistries, useOfRegistry } from '../storage/metadata/stores/storage-use-store.ts'
import { ownNamespace, registryOfMetrics, usageDimensions } from './metric-names.ts'
import { derivedLimits } from './series-limits.ts'

export interface SampleInput {
  readonly store: ObserveStore
  /** Of the metadata. */
  readonly metadata: Session
  readonly home: { readonly account: string; readonly region: string }
  readonly now: number
  readonly everyMs: number
}

/** Of a registry, those with the most bytes: each is a few points every five minutes. */
const maxRepositories = 500
const minuteMs = 60_000

/** Counting stops here: more is told as this. */
const maxReviewsCounted = 100_000

/**
 * Writes down how much there is of what is no request: images, bytes, and what waits for collection. Of several servers one
 * does so for each span of time; answers whether it was this one.
 */
export async function sampleResources({ store, metadata, home, now, everyMs }: SampleInput): Promise<boolean> {
  const slot = now - (now % everyMs)
  const additions = [...(await registrySamples(metadata, now)), ...(await collectionSamples(metadata, registryOfMetrics(home.account, home.region), now))]
  return store.transaction(async (tx) => {
    if (!(await takeMark(tx, 'resources', slot))) return false
    await addPoints(tx, rememberSeries(derivedLimits), additions, now)
    return true
  })
}

async function registrySamples(metadata: Session, now: number): Promise<Addition[]> {
  const found: Addition[] = []
  for (const { id, accountId, region } of await listRegistries(metadata)) {
    const use = await useOfRegistry(metadata, id)
    if (use.repositories === 0) continue
    const put = sampler(found, registryOfMetrics(accountId, region), now)
    put('AWS/Usage', 'ResourceCount', 'None', use.repositories, usageDimensions('RESOURCE', 'RepositoryCount'))
    put(ownNamespace, 'StorageBytes', 'Bytes', use.bytes)
    for (const { name, images, logicalBytes } of await listBiggestRepositories(metadata, id, maxRepositories)) {
      put('AWS/Usage', 'ResourceCount', 'None', images, usageDimensions('RESOURCE', 'ImagesPerRepositoryCount', [['ResourceId', `repository/${name}`]]))
      put(ownNamespace, 'StorageBytes', 'Bytes', logicalBytes, [['RepositoryName', name]])
    }
  }
  return found
}

async function collectionSamples(metadata: Session, registry: string, now: number): Promise<Addition[]> {
  const found: Addition[] = []
  const put = sampler(found, registry, now)
  for (const kind of ['repository', 'manifest', 'repository-blob', 'blob', 'location'] as const) {
    const { waiting, due, nextDueAt } = await countReviews(metadata, { kind, now, overdueBefore: now, limit: maxReviewsCounted })
    const isOverdue = due > 0 && nextDueAt !== undefined
    put(ownNamespace, 'CollectionWaiting', 'Count', waiting, [['Kind', kind]])
    put(ownNamespace, 'CollectionDue', 'Count', due, [['Kind', kind]])
    put(ownNamespace, 'CollectionOverdue', 'Seconds', isOverdue ? Math.max(0, now - nextDueAt) / 1000 : 0, [['Kind', kind]])
  }
  return found
}

function sampler(into: Addition[], registry: string, now: number) {
  const at = now - (now % minuteMs)
  return (namespace: string, name: string, unit: string, value: number, dimensions: readonly Dimension[] = []): void => {
    into.push({ registry, namespace, name, unit, dimensions: dimensionsText(dimensions), at, set: { samples: 1, total: value, low: value, high: value } })
  }
}
