import type { UsageLease, UsageSource, UsageSources } from '../../../../registry/usage/usage-sources.ts'
import { parseDigest } from '../../../../values/index.ts'
import { operation, type AwsCall, type AwsOperation } from '../../service.ts'
import { integer, list, required, simplePattern, string, structure, timestamp } from '../../shapes.ts'
import * as shapes from './shapes.ts'

const sourceName = string({ min: 1, max: 64, pattern: simplePattern(/^[a-zA-Z0-9][a-zA-Z0-9._-]*$/) })

/** As IAM writes principals; a session reports as its role. */
const principalArn = string({ min: 20, max: 2048, pattern: simplePattern(/^arn:aws:iam::[0-9]{12}:(root|user\/[!-~]+|role\/[!-~]+)$/) })

const scope = list(string({ min: 1, max: 256, pattern: simplePattern(/^[a-z0-9._/*-]+$/) }), { min: 1, max: 20 })

/** A minute: what reports more often than that says nothing new. A week: later nobody would notice its silence. */
const intervalSeconds = integer({ min: 60, max: 7 * 24 * 60 * 60 })
const shrinkPercent = integer({ min: 1, max: 100 })
const defaultShrinkPercent = 50

const shortText = string({ min: 1, max: 64, pattern: shapes.oneLine })
const environment = string({ min: 1, max: 128, pattern: shapes.oneLine })

const named = { registryId: shapes.registryId, sourceName: required(sourceName) }

/** `writer` tells programs apart that report with the same credentials: two of them must not mix in one snapshot. */
const ofSnapshot = {
  ...named,
  snapshotNumber: required(integer({ min: 1 })),
  writer: required(string({ min: 1, max: 64, pattern: simplePattern(/^[!-~]+$/) })),
}

const lease = structure({
  repositoryName: shapes.repositoryName,
  imageDigest: required(shapes.digest),
  workload: required(string({ min: 1, max: 256, pattern: shapes.oneLine })),
  environment,
  until: timestamp(),
})

/** Most leases of one call: it keeps the body under AWS's 1 MiB and the database's turn short. */
const maxLeasesPerCall = 1000

function sourceResource(input: { readonly sourceName: string }, call: AwsCall): string {
  const { region, accountId } = call.context.registry
  return `arn:aws:stowage:${region}:${accountId}:usage-source/${input.sourceName}`
}

const snapshotOf = ({ sourceName: name, snapshotNumber: number, writer }: { sourceName: string; snapshotNumber: number; writer: string }) => ({
  sourceName: name,
  number,
  writer,
})

/**
 * Who says what runs, and what they say. Reporting (`BeginUsageSnapshot`, `PutUsageLeases`, `CompleteUsageSnapshot`) is one
 * right, `stowage:PutUsageLeases` on the source, and of the source's own principal alone.
 */
export function usageOperations({ usageSources }: { readonly usageSources: UsageSources }): Record<string, AwsOperation> {
  return {
    RegisterUsageSource: operation({
      action: 'stowage:RegisterUsageSource',
      resource: sourceResource,
      input: structure({
        ...named,
        principalArn: required(principalArn),
        kind: shortText,
        environment: required(environment),
        scope: required(scope),
        intervalSeconds: required(intervalSeconds),
        shrinkPercent,
      }),
      async handler({ context }, input) {
        const source = await usageSources.register(context, input.sourceName, {
          principalArn: input.principalArn,
          kind: input.kind ?? 'script',
          environment: input.environment,
          scope: input.scope,
          intervalMs: input.intervalSeconds * 1000,
          shrinkPercent: input.shrinkPercent ?? defaultShrinkPercent,
        })
        return { usageSource: describe(source) }
      },
    }),

    UpdateUsageSource: operation({
      action: 'stowage:UpdateUsageSource',
      resource: sourceResource,
      input: structure({ ...named, principalArn, kind: shortText, environment, scope, intervalSeconds, shrinkPercent }),
      async handler({ context }, { sourceName: name, intervalSeconds: seconds, ...input }) {
        const changes = {
          ...(input.principalArn !== undefined && { principalArn: input.principalArn }),
          ...(input.kind !== undefined && { kind: input.kind }),
          ...(input.environment !== undefined && { environment: input.environment }),
          ...(input.scope !== undefined && { scope: input.scope }),
          ...(input.shrinkPercent !== undefined && { shrinkPercent: input.shrinkPercent }),
          ...(seconds !== undefined && { intervalMs: seconds * 1000 }),
        }
        return { usageSource: describe(await usageSources.update(context, name, changes)) }
      },
    }),

    DescribeUsageSources: operation({
      action: 'stowage:DescribeUsageSources',
      resource: (input, call) => sourceResource({ sourceName: input.sourceName ?? '*' }, call),
      input: structure({ registryId: shapes.registryId, sourceName, nextToken: shapes.nextToken, maxResults: shapes.maxResults }),
      async handler({ context }, { sourceName: name, nextToken, maxResults }) {
        if (name !== undefined) return { usageSources: [describe(await usageSources.get(context, name))] }
        const { items, next } = await usageSources.list(context, { after: nextToken, limit: maxResults ?? shapes.defaultPageSize })
        return { usageSources: items.map(describe), nextToken: next }
      },
    }),

    DecommissionUsageSource: operation({
      action: 'stowage:DecommissionUsageSource',
      resource: sourceResource,
      input: structure({ ...named, reason: required(shapes.reason) }),
      async handler({ context }, { sourceName: name, reason }) {
        await usageSources.decommission(context, name, reason)
        return { usageSource: describe(await usageSources.get(context, name)) }
      },
    }),

    BeginUsageSnapshot: operation({
      action: 'stowage:PutUsageLeases',
      resource: sourceResource,
      input: structure(ofSnapshot),
      async handler({ context }, input) {
        await usageSources.begin(context, snapshotOf(input))
        return { sourceName: input.sourceName, snapshotNumber: input.snapshotNumber }
      },
    }),

    PutUsageLeases: operation({
      action: 'stowage:PutUsageLeases',
      resource: sourceResource,
      input: structure({ ...ofSnapshot, leases: required(list(lease, { min: 1, max: maxLeasesPerCall })) }),
      async handler({ context }, input) {
        const leases = input.leases.map(({ repositoryName, imageDigest, workload, environment: where, until }) => ({
          repositoryName,
          digest: parseDigest(imageDigest),
          workload,
          environment: where,
          until: until?.getTime(),
        }))
        await usageSources.put(context, snapshotOf(input), leases)
        return { sourceName: input.sourceName, snapshotNumber: input.snapshotNumber }
      },
    }),

    CompleteUsageSnapshot: operation({
      action: 'stowage:PutUsageLeases',
      resource: sourceResource,
      input: structure({ ...ofSnapshot, expectedCount: required(integer({ min: 0 })) }),
      async handler({ context }, input) {
        const outcome = await usageSources.complete(context, snapshotOf(input), input.expectedCount)
        return { sourceName: input.sourceName, snapshotNumber: input.snapshotNumber, ...describeOutcome(outcome) }
      },
    }),

    AcceptUsageSnapshot: operation({
      action: 'stowage:AcceptUsageSnapshot',
      resource: sourceResource,
      input: structure({ ...named, snapshotNumber: required(integer({ min: 1 })) }),
      async handler({ context }, input) {
        const outcome = await usageSources.accept(context, input.sourceName, input.snapshotNumber)
        return { sourceName: input.sourceName, snapshotNumber: input.snapshotNumber, ...describeOutcome(outcome) }
      },
    }),

    ListUsageLeases: operation({
      action: 'stowage:ListUsageLeases',
      resource: sourceResource,
      input: structure({ ...named, nextToken: shapes.nextToken, maxResults: shapes.maxResults }),
      async handler({ context }, { sourceName: name, nextToken, maxResults }) {
        const { items, next } = await usageSources.leases(context, name, { after: nextToken, limit: maxResults ?? shapes.defaultPageSize })
        return { leases: items.map(describeLease), nextToken: next }
      },
    }),
  }
}

function describe({ intervalMs, believed, waived, createdAt, name, ...source }: UsageSource) {
  return {
    sourceName: name,
    ...source,
    intervalSeconds: intervalMs / 1000,
    waivedAt: waived && new Date(waived.at),
    waivedBy: waived?.by,
    believed: believed && { snapshotNumber: believed.number, at: new Date(believed.at), leases: believed.leases },
    createdAt: new Date(createdAt),
  }
}

function describeOutcome({ status, leases, previousLeases, problem }: Awaited<ReturnType<UsageSources['complete']>>) {
  return { status, leases, previousLeases, problem }
}

function describeLease({ repositoryName, digest, workload, environment: where, firstSeenAt, until }: UsageLease) {
  return {
    repositoryName,
    imageDigest: digest,
    workload,
    environment: where,
    firstSeenAt: new Date(firstSeenAt),
    until: until === undefined ? undefined : new Date(until),
  }
}
