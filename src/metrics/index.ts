export { isList, mostSeries, type LabelValues, type MetricDeclaration } from './declaration.ts'
export { declaredMetrics, type CounterName, type GaugeName, type HistogramName, type LabelsOf, type MetricName } from './declared-metrics.ts'
export { MetricSet, type CounterSeries, type HistogramSeries } from './metric-set.ts'
export { metricsReference } from './reference.ts'
