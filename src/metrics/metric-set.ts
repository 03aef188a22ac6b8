import { isList, type LabelValues, type MetricDeclaration } from './declaration.ts'
import { declaredMetrics, type CounterName, type GaugeName, type HistogramName, type LabelsOf, type MetricName } from './declared-metrics.ts'

/** One series of a counter. */
export interface CounterSeries {
  add(amount?: number): void
}

/** One series of a histogram. */
export interface HistogramSeries {
  observe(value: number): void
}

/** Series by the values of a metric's labels: to be kept by whoever counts often. */
export type SeriesOf<Name extends MetricName, Series> = (labels: LabelsOf<Name>) => Series

/** Values with their labels; undefined where nothing is known, and then nothing is told. */
export type ReadValues<Name extends MetricName> = number | undefined | Iterable<readonly [labels: LabelsOf<Name>, value: number]>

/** Told in the place of a value that a label does not have, or has no room for. */
const otherValue = 'other'

interface Metric {
  readonly name: string
  readonly declaration: MetricDeclaration
  /** Undefined where nothing is known, and then it is not told at all. */
  lines(): Promise<string | undefined> | string
}

/**
 * Measures declared metrics, each by one of its instruments, and tells them in Prometheus' text format
 * (https://prometheus.io/docs/instrumenting/exposition_formats/, version 0.0.4).
 */
export class MetricSet {
  readonly #metrics = new Map<string, Metric>()

  counter<Name extends CounterName>(name: Name): SeriesOf<Name, CounterSeries> {
    return this.#series(name, (labels) => new Count(name, labels))
  }

  histogram<Name extends HistogramName>(name: Name): SeriesOf<Name, HistogramSeries> {
    const { buckets }: MetricDeclaration = declaredMetrics[name]
    return this.#series(name, (labels) => new Buckets(name, labels, buckets ?? []))
  }

  /** A counter or gauge whose values are asked for when it is told. What rejects is left out. */
  read<Name extends CounterName | GaugeName>(name: Name, values: () => ReadValues<Name> | Promise<ReadValues<Name>>): void {
    const declaration: MetricDeclaration = declaredMetrics[name]
    const bounds = new LabelBounds(declaration)
    this.#add(name, async () => {
      const read = await Promise.resolve().then(values).catch(() => undefined)
      if (read === undefined) return undefined
      const pairs = typeof read === 'number' ? [[{}, read] as const] : read
      // Values that share a series are one.
      const sums = new Map<string, number>()
      for (const [labels, value] of pairs) {
        const text = labelText(bounds.bounded(labels))
        sums.set(text, (sums.get(text) ?? 0) + value)
      }
      return [...sums].map(([labels, value]) => sample(name, labels, value)).join('')
    })
  }

  async text(): Promise<string> {
    const parts = await Promise.all([...this.#metrics.values()].map(async (metric) => ({ metric, lines: await metric.lines() })))
    return parts.map(({ metric: { name, declaration }, lines }) => (lines === undefined ? '' : `${headOf(name, declaration)}${lines}`)).join('')
  }

  #series<Name extends MetricName, Series extends { lines(): string }>(name: Name, create: (labels: string) => Series): SeriesOf<Name, Series> {
    const declaration: MetricDeclaration = declaredMetrics[name]
    const bounds = new LabelBounds(declaration)
    const series = new Map<string, Series>()
    const at = (labels: LabelsOf<Name>): Series => {
      const text = labelText(bounds.bounded(labels))
      let found = series.get(text)
      if (found === undefined) {
        found = create(text)
        series.set(text, found)
      }
      return found
    }
    // A counter whose first value is 1 has not risen, to whoever looks for a rise. Those that may have few series begin with 0.
    for (const labels of fewCombinations(declaration)) at(labels as LabelsOf<Name>)
    this.#add(name, () => [...series.values()].map((each) => each.lines()).join(''))
    return at
  }

  #add(name: MetricName, lines: Metric['lines']): void {
    if (this.#metrics.has(name)) throw new Error(`the metric ${name} is measured twice`)
    this.#metrics.set(name, { name, declaration: declaredMetrics[name], lines })
  }
}

/** So many series are there from the start. */
const fewSeries = 30

/** Every combination of a metric's labels, where they are listed and few; else none. */
function fewCombinations({ labels }: MetricDeclaration): Readonly<Record<string, string>>[] {
  let combinations: Readonly<Record<string, string>>[] = [{}]
  for (const [name, values] of Object.entries(labels)) {
    if (!isList(values) || combinations.length * values.length > fewSeries) return []
    combinations = combinations.flatMap((combination) => values.map((value) => ({ ...combination, [name]: value })))
  }
  return combinations
}

class Count implements CounterSeries {
  readonly #name: string
  readonly #labels: string
  #value = 0

  constructor(name: string, labels: string) {
    this.#name = name
    this.#labels = labels
  }

  add(amount = 1): void {
    this.#value += amount
  }

  lines(): string {
    return sample(this.#name, this.#labels, this.#value)
  }
}

class Buckets implements HistogramSeries {
  readonly #name: string
  readonly #labels: string
  readonly #bounds: readonly number[]
  readonly #counts: number[]
  #count = 0
  #sum = 0

  constructor(name: string, labels: string, bounds: readonly number[]) {
    this.#name = name
    this.#labels = labels
    this.#bounds = bounds
    this.#counts = bounds.map(() => 0)
  }

  observe(value: number): void {
    this.#count += 1
    this.#sum += value
    const index = this.#bounds.findIndex((bound) => value <= bound)
    if (index !== -1) this.#counts[index] = (this.#counts[index] ?? 0) + 1
  }

  lines(): string {
    const prefix = this.#labels === '' ? '' : `${this.#labels},`
    let total = 0
    const buckets = this.#bounds.map((bound, index) => {
      total += this.#counts[index] ?? 0
      return sample(`${this.#name}_bucket`, `${prefix}le="${bound}"`, total)
    })
    return [
      ...buckets,
      sample(`${this.#name}_bucket`, `${prefix}le="+Inf"`, this.#count),
      sample(`${this.#name}_sum`, this.#labels, this.#sum),
      sample(`${this.#name}_count`, this.#labels, this.#count),
    ].join('')
  }
}

/** Keeps a metric's labels to what it declares. */
class LabelBounds {
  readonly #known: readonly { readonly name: string; readonly values: Set<string>; readonly atMost: number }[]

  constructor({ labels }: MetricDeclaration) {
    this.#known = Object.entries(labels).map(([name, values]: [string, LabelValues]) => ({
      name,
      values: new Set(isList(values) ? values : []),
      atMost: isList(values) ? values.length : values.atMost,
    }))
  }

  bounded(labels: Readonly<Record<string, string>>): (readonly [name: string, value: string])[] {
    return this.#known.map(({ name, values, atMost }) => {
      const value = labels[name] ?? otherValue
      if (values.has(value)) return [name, value]
      if (values.size >= atMost) return [name, otherValue]
      values.add(value)
      return [name, value]
    })
  }
}

function labelText(labels: readonly (readonly [name: string, value: string])[]): string {
  return labels.map(([name, value]) => `${name}="${value.replace(/[\\"\n]/gu, (character) => (character === '\n' ? '\\n' : `\\${character}`))}"`).join(',')
}

function headOf(name: string, { help, type }: MetricDeclaration): string {
  return `# HELP ${name} ${help.replace(/[\\\n]/gu, (character) => (character === '\n' ? '\\n' : '\\\\'))}\n# TYPE ${name} ${type}\n`
}

function sample(name: string, labels: string, value: number): string {
  const text = Number.isFinite(value) ? String(value) : Number.isNaN(value) ? 'NaN' : value > 0 ? '+Inf' : '-Inf'
  return labels === '' ? `${name} ${text}\n` : `${name}{${labels}} ${text}\n`
}
