import type { BlobExplanation, CollectionControl, CollectionStatus, Reconciler, Reconciliation } from '../../../../gc/index.ts'
import { parseDigest, type AccountId } from '../../../../values/index.ts'
import { operation, type AwsOperation } from '../../service.ts'
import { boolean, integer, invalidParameter, required, structure, timestamp } from '../../shapes.ts'
import * as shapes from './shapes.ts'

/** Well below the time after which clients and proxies give a request up: whoever wants to wait longer asks again. */
const longestWaitSeconds = 20

/** More than any server does. */
const mostReviewsPerSecond = 99_999

const dayMs = 24 * 60 * 60 * 1000

/** The collection of garbage. It belongs to the installation's own account, since what is collected is no single account's. */
export function collectionOperations(deps: {
  readonly collection: CollectionControl
  readonly reconciler: Reconciler
  readonly homeAccountId: AccountId
}): Record<string, AwsOperation> {
  const { collection, reconciler, homeAccountId } = deps
  const resource = (): string => `arn:aws:stowage::${homeAccountId}:garbage-collection`

  return {
    DescribeGarbageCollection: operation({
      action: 'stowage:DescribeGarbageCollection',
      resource,
      input: structure({}),
      handler: async () => describe(await collection.status()),
    }),

    RunGarbageCollection: operation({
      action: 'stowage:RunGarbageCollection',
      resource,
      input: structure({ waitSeconds: integer({ min: 0, max: longestWaitSeconds }) }),
      async handler({ signal }, { waitSeconds = longestWaitSeconds }) {
        const { isDone, status } = await collection.run(waitSeconds * 1000, signal)
        return { isDone, ...describe(status) }
      },
    }),

    PauseGarbageCollection: operation({
      action: 'stowage:PauseGarbageCollection',
      resource,
      input: structure({ reason: required(shapes.reason), endsAt: timestamp() }),
      async handler({ context }, { reason, endsAt }) {
        if (endsAt !== undefined && endsAt.getTime() <= context.clock.now()) throw invalidParameter([{ field: 'endsAt', constraint: 'Member must be in the future' }])
        return { pause: describePause(await collection.pause(context, { reason, endsAt: endsAt?.getTime() })) }
      },
    }),

    ResumeGarbageCollection: operation({
      action: 'stowage:ResumeGarbageCollection',
      resource,
      input: structure({}),
      async handler({ context }) {
        return { endedPause: describePause(await collection.resume(context)) }
      },
    }),

    SetGarbageCollectionRate: operation({
      action: 'stowage:SetGarbageCollectionRate',
      resource,
      input: structure({ reviewsPerSecond: integer({ min: 1, max: mostReviewsPerSecond }) }),
      async handler({ context }, { reviewsPerSecond }) {
        return { rate: describeRate(await collection.setRate(context, reviewsPerSecond)) }
      },
    }),

    ExplainBlob: operation({
      action: 'stowage:ExplainBlob',
      resource,
      input: structure({ digest: required(shapes.digest) }),
      handler: async (_, { digest }) => ({ blobs: (await collection.explain(parseDigest(digest))).map(describeBlob) }),
    }),

    SimulateGarbageCollection: operation({
      action: 'stowage:SimulateGarbageCollection',
      resource,
      input: structure({ days: integer({ min: 0, max: 3650 }) }),
      async handler(_, { days = 0 }) {
        const { until, installationHolds, ...simulation } = await collection.simulate(days * dayMs)
        return { until: new Date(until), ...simulation, installationHoldIds: installationHolds }
      },
    }),

    StartReconciliation: operation({
      action: 'stowage:StartReconciliation',
      resource,
      input: structure({ repair: boolean() }),
      async handler({ context }, { repair = false }) {
        const { requestedAt } = await reconciler.request(context, repair)
        return { requestedAt: new Date(requestedAt), repair }
      },
    }),

    DescribeReconciliation: operation({
      action: 'stowage:DescribeReconciliation',
      resource,
      input: structure({}),
      async handler() {
        const { isRunning, request, current, last, nextAt } = await reconciler.status()
        return {
          isRunning,
          isRequested: request !== undefined,
          current: current && describeReconciliation(current),
          last: last && describeReconciliation(last),
          nextAt: nextAt === undefined ? undefined : new Date(nextAt),
        }
      },
    }),
  }
}

function describe({ state, pause, rate, holds, queues, reclaimed, secondsSpent, failures, intervalMs }: CollectionStatus) {
  return {
    status: state.toUpperCase().replace('-', '_'),
    pause: describePause(pause),
    rate: describeRate(rate),
    holds: holds.map(({ id, cause, reason, raisedAt }) => ({ holdId: id, cause, reason, raisedAt: new Date(raisedAt) })),
    queues: queues.map(({ kind, waiting, due, overdue, leased, nextDueAt }) => ({
      kind,
      waiting,
      due,
      overdue,
      leased,
      nextDueAt: nextDueAt === undefined ? undefined : new Date(nextDueAt),
    })),
    reclaimed: {
      serverStartedAt: new Date(reclaimed.startedAt),
      sinceStart: reclaimed.sinceStart,
      lastHour: reclaimed.lastHour,
      lastDay: reclaimed.lastDay,
    },
    secondsSpent,
    failures,
    intervalSeconds: intervalMs / 1000,
  }
}

function describeBlob({ createdAt, goesAfter, verdict, places, namedBy, seenIn, reviews, ...blob }: BlobExplanation) {
  return {
    ...blob,
    verdict: verdict.toUpperCase(),
    createdAt: new Date(createdAt),
    goesAfter: optionalDate(goesAfter),
    places: places.map(({ createdAt: since, dueAt, storedBytes, ...place }) => ({
      ...place,
      createdAt: new Date(since),
      storedBytes: storedBytes ?? blob.sizeBytes,
      reviewDueAt: optionalDate(dueAt),
    })),
    namedBy: namedBy.map(({ accountId, region, repository, digest, storageClass, purgeAfter }) => ({
      ...{ registryId: accountId, region, repositoryName: repository, imageDigest: digest },
      imageStatus: purgeAfter === null ? storageClass.toUpperCase() : 'TRASHED',
      purgeAfter: optionalDate(purgeAfter),
    })),
    seenIn: seenIn.map(({ accountId, region, repository, since, dueAt }) => ({
      ...{ registryId: accountId, region, repositoryName: repository },
      since: new Date(since),
      reviewDueAt: optionalDate(dueAt),
    })),
    reviews: reviews.map(({ kind, dueAt, reason, attemptCount, leasedUntil }) => ({ kind, dueAt: new Date(dueAt), reason, attemptCount, leasedUntil: optionalDate(leasedUntil) })),
  }
}

function optionalDate(ms: number | null | undefined): Date | undefined {
  return ms === null || ms === undefined ? undefined : new Date(ms)
}

function describeReconciliation({ startedAt, finishedAt, repair, requestedBy, phase, counts, findings }: Reconciliation) {
  return {
    startedAt: new Date(startedAt),
    finishedAt: finishedAt === undefined ? undefined : new Date(finishedAt),
    repair,
    requestedBy,
    phase: finishedAt === undefined ? phase : undefined,
    counts,
    findings,
  }
}

function describeRate(rate: CollectionStatus['rate']) {
  return rate && { ...rate, setAt: new Date(rate.setAt) }
}

function describePause(pause: CollectionStatus['pause']) {
  return (
    pause && {
      reason: pause.reason,
      pausedAt: new Date(pause.pausedAt),
      pausedBy: pause.pausedBy,
      endsAt: pause.endsAt === undefined ? undefined : new Date(pause.endsAt),
    }
  )
}
