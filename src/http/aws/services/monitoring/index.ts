import type { Keyring } from '../../../../iam/index.ts'
import type { MetricAlarms } from '../../../../metrics/alarms/metric-alarms.ts'
import type { MetricReader } from '../../../../metrics/metric-reader.ts'
import type { MetricWriter } from '../../../../metrics/metric-writer.ts'
import type { AwsService } from '../../service.ts'
import { validationError } from '../../shapes.ts'
import { alarmOperations } from './alarms.ts'
import { queryCodes } from './errors.ts'
import { getMetricData } from './get-metric-data.ts'
import { getMetricStatistics } from './get-metric-statistics.ts'
import { listMetrics } from './list-metrics.ts'
import { putMetricData } from './put-metric-data.ts'

interface MonitoringDependencies {
  readonly reader: MetricReader
  readonly writer: MetricWriter
  readonly alarms: MetricAlarms
  readonly keyring: Keyring
}

/** Of parameters in a form: a thousand metrics fill a body of a mebibyte. */
const maxFormParameters = 40_000

/**
 * Amazon CloudWatch's metrics and alarms: what the server counts from its audit trail and what clients put. One service in each of
 * the protocols that its clients speak; see docs/operations/monitoring.md.
 */
export function createMonitoringServices(deps: MonitoringDependencies): readonly AwsService[] {
  const common = {
    name: 'monitoring',
    settingsName: 'cloudwatch',
    signingName: 'monitoring',
    operations: {
      ListMetrics: listMetrics(deps),
      GetMetricStatistics: getMetricStatistics(deps),
      GetMetricData: getMetricData(deps),
      PutMetricData: putMetricData(deps),
      ...alarmOperations(deps),
    },
    serverFault: 'InternalServiceFault',
    invalidInput: validationError('ValidationError'),
    queryCodes,
  } as const
  return [
    { ...common, protocol: 'json', targetPrefix: 'GraniteServiceVersion20100801' },
    { ...common, protocol: 'query', apiVersion: '2010-08-01', xmlns: 'http://monitoring.amazonaws.com/doc/2010-08-01/', maxParameters: maxFormParameters },
    { ...common, protocol: 'cbor', shapeName: 'GraniteServiceVersion20100801', integers: new Set(['Period', 'EvaluationPeriods', 'DatapointsToAlarm']) },
  ]
}
