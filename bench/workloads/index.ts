import { listingWorkloads } from './listings.ts'
import { manifestWorkloads } from './manifests.ts'
import { pullWorkloads } from './pulls.ts'
import { pushWorkloads } from './pushes.ts'
import type { Workload } from './workload.ts'

export const workloads: readonly Workload[] = [...manifestWorkloads, ...pushWorkloads, ...pullWorkloads, ...listingWorkloads]
