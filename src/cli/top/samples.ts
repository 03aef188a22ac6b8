/** One series of a metric. */
export interface Sample {
  readonly labels: Readonly<Record<string, string>>
  readonly value: number
}

/** What a server told at one moment. */
export class Samples {
  /** Milliseconds since 1970, by the server's clock. */
  readonly atMs: number
  readonly #byName: ReadonlyMap<string, readonly Sample[]>

  /** @param text in Prometheus' text format, as our servers write it; lines of any other form are passed over */
  constructor(atMs: number, text: string) {
    this.atMs = atMs
    const byName = new Map<string, Sample[]>()
    for (const line of text.split('\n')) {
      const [, name, labelText = '', value] = /^([a-zA-Z_:]\w*)(?:\{(.*)\})? (\S+)$/u.exec(line) ?? []
      if (name === undefined || value === undefined) continue
      const sample = { labels: labelsOf(labelText), value: value === '+Inf' ? Number.POSITIVE_INFINITY : Number(value) }
      const samples = byName.get(name)
      if (samples === undefined) byName.set(name, [sample])
      else samples.push(sample)
    }
    this.#byName = byName
  }

  of(name: string): readonly Sample[] {
    return this.#byName.get(name) ?? []
  }

  /** The sum over the series with these labels; undefined where there is none. */
  sum(name: string, labels: Readonly<Record<string, string>> = {}): number | undefined {
    const wanted = Object.entries(labels)
    const found = this.of(name).filter((sample) => wanted.every(([label, value]) => sample.labels[label] === value))
    return found.length === 0 ? undefined : found.reduce((total, { value }) => total + value, 0)
  }
}

function labelsOf(text: string): Readonly<Record<string, string>> {
  const pairs = [...text.matchAll(/(\w+)="((?:[^"\\]|\\.)*)"/gu)]
  return Object.fromEntries(pairs.map(([, name = '', value = '']) => [name, value.replace(/\\(.)/gu, (_, character: string) => (character === 'n' ? '\n' : character))]))
}

/** How much a counter has risen from one moment to another; a series that is new has risen from 0. */
export function rise(before: Samples, after: Samples, name: string, labels: Readonly<Record<string, string>> = {}): number {
  return Math.max(0, (after.sum(name, labels) ?? 0) - (before.sum(name, labels) ?? 0))
}

/**
 * A quantile of what a histogram observed from one moment to another: as Prometheus reckons it, straight lines within buckets,
 * and the last bound for what is beyond. Undefined where nothing was observed.
 */
export function quantile(share: number, before: Samples, after: Samples, name: string, labels: Readonly<Record<string, string>> = {}): number | undefined {
  const bounds = [...new Set(after.of(`${name}_bucket`).map((sample) => sample.labels['le'] ?? ''))]
    .map((text) => ({ text, bound: text === '+Inf' ? Number.POSITIVE_INFINITY : Number(text) }))
    .sort((one, other) => one.bound - other.bound)
  const counts = bounds.map(({ text, bound }) => ({ bound, count: rise(before, after, `${name}_bucket`, { ...labels, le: text }) }))
  const total = counts.at(-1)?.count ?? 0
  if (total === 0) return undefined
  const rank = share * total
  let lower = { bound: 0, count: 0 }
  for (const bucket of counts) {
    if (bucket.count >= rank) {
      if (bucket.bound === Number.POSITIVE_INFINITY) return lower.bound
      return lower.bound + ((bucket.bound - lower.bound) * (rank - lower.count)) / Math.max(1, bucket.count - lower.count)
    }
    lower = bucket
  }
  return lower.bound
}
