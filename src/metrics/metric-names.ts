import type { Dimension } from '../storage/metadata/observe/metric-store.ts'

/** Of the metrics that Amazon has none for. */
export const ownNamespace = 'Stowage'

/** Stands for all that have no series of their own, since there are too many. */
export const otherValue = '(other)'

/** What metrics belong to: an account in a region. */
export function registryOfMetrics(account: string, region: string): string {
  return `${account}/${region}`
}

/** As every metric of `AWS/Usage` has them. */
export function usageDimensions(type: 'API' | 'RESOURCE', resource: string, more: readonly Dimension[] = []): Dimension[] {
  return [['Class', 'None'], ['Resource', resource], ['Service', 'ECR'], ['Type', type], ...more]
}
