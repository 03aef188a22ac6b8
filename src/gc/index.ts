export { Collector, type CollectionCounters } from './collector.ts'
