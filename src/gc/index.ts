export { Collector, type CollectionCounters } from './collector.ts'
export { CollectionControl, type CollectionStatus, type QueueGauges } from './control.ts'
export { Reconciler, type ReconcilerStatus, type Reconciliation } from './reconciler.ts'
