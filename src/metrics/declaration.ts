/** What a label may say. What is not among its values, or beyond their number, is told as `other`. */
export type LabelValues =
  | readonly string[]
  | {
      /** The first so many that occur. */
      readonly atMost: number
      /** Of which closed list they are, for readers of the documentation. */
      readonly of: string
    }

/** All that is known of a metric before anything is measured. */
export interface MetricDeclaration {
  readonly type: 'counter' | 'gauge' | 'histogram'
  /** What one of it is, such as `seconds`; `time` is seconds since 1970, `yes or no` 1 or 0. */
  readonly unit: string
  /** One sentence without its full stop. */
  readonly help: string
  readonly labels: Readonly<Record<string, LabelValues>>
  /** Upper bounds of a histogram's buckets, ascending, in its unit. */
  readonly buckets?: readonly number[]
}

/** How many series a metric can have, whatever happens: `other` counts where there are labels. */
export function mostSeries({ labels, buckets }: MetricDeclaration): number {
  const combinations = Object.values(labels).reduce((product, values) => product * ((isList(values) ? values.length : values.atMost) + 1), 1)
  // Each bucket, that of everything, the sum and the count.
  return combinations * (buckets === undefined ? 1 : buckets.length + 3)
}

export function isList(values: LabelValues): values is readonly string[] {
  return Array.isArray(values)
}
