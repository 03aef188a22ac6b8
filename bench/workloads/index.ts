import { growthWorkloads, listingWorkloads } from './listings.ts'
import { manifestWorkloads } from './manifests.ts'
import { policyWorkloads } from './policies.ts'
import { pullWorkloads } from './pulls.ts'
import { pushWorkloads, tinyPushWorkloads } from './pushes.ts'
import { rangeWorkloads } from './ranges.ts'
import type { Workload, WorkloadGroup } from './workload.ts'

/** Groups that start on servers that are empty. */
export const groups: readonly WorkloadGroup[] = [
  { name: 'manifests', workloads: manifestWorkloads },
  { name: 'pushes', workloads: pushWorkloads },
  { name: 'tiny pushes', workloads: tinyPushWorkloads },
  { name: 'pulls', workloads: pullWorkloads },
  { name: 'ranges', workloads: rangeWorkloads },
]

/** Beside peers, on servers that hold a population. */
export const listingGroup: WorkloadGroup = { name: 'listings', workloads: listingWorkloads }

/** Stowage alone, on populations of two sizes. */
export const growthGroup: WorkloadGroup = { name: 'growth', workloads: growthWorkloads }

/** Stowage alone: the same requests by a user under policies, and by the root. */
export const policyGroup: WorkloadGroup = { name: 'policies', workloads: policyWorkloads }

/** For the load client, which is told a name. Growth measures listings under the same names. */
export const workloads: readonly Workload[] = [...groups.flatMap((group) => group.workloads), ...growthWorkloads, ...policyWorkloads]
