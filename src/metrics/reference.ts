import { isList, mostSeries, type LabelValues, type MetricDeclaration } from './declaration.ts'
import { declaredMetrics } from './declared-metrics.ts'

/** docs/reference/metrics.md, from the declarations. */
export function metricsReference(): string {
  const metrics: [string, MetricDeclaration][] = Object.entries(declaredMetrics)
  return [
    '# Metrics',
    '',
    '<!-- Generated from src/metrics/declared-metrics.ts by scripts/generate-metrics-reference.ts: change it there. -->',
    '',
    '`GET /metrics` tells these in the text format of Prometheus. How they are scraped, and what to watch:',
    '[docs/operations/monitoring.md](../operations/monitoring.md). Counters begin with 0 when the server starts. No label has the',
    'name of a repository, a client or an account. A value that is not listed here is told as `other`, so that a server never has',
    'more series than the last column says; most have a few hundred, since a series begins with what it counts.',
    '',
    '| metric | type, unit | what it says | labels | series at most |',
    '|---|---|---|---|---|',
    ...metrics.map(([name, metric]) => `| \`${name}\` | ${metric.type}, ${metric.unit} | ${metric.help}${bucketsText(metric)} | ${labelsText(metric)} | ${mostSeries(metric)} |`),
    '',
  ].join('\n')
}

function bucketsText({ buckets, unit }: MetricDeclaration): string {
  return buckets === undefined ? '' : `. Buckets: ${buckets.join(', ')} ${unit}`
}

function labelsText({ labels }: MetricDeclaration): string {
  return Object.entries(labels)
    .map(([name, values]) => `\`${name}\`: ${valuesText(values)}`)
    .join('; ')
}

function valuesText(values: LabelValues): string {
  return isList(values) ? values.map((value) => `\`${value}\``).join(', ') : values.of
}
