import type { Entry, EntryTable } from './entry.ts'

/** https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazoncloudwatch.html */
function entry(operation: string, input: object, granted: string): Entry {
  return {
    subject: 'own account',
    needs: [`cloudwatch:${operation}`],
    resource: '*',
    granted,
    request: () => ({ protocol: 'json', service: 'monitoring', target: `GraniteServiceVersion20100801.${operation}`, input }),
  }
}

const span = { StartTime: 1_000_000, EndTime: 1_000_600 }

export const monitoringEntries: EntryTable = {
  'monitoring:ListMetrics': entry('ListMetrics', {}, '200'),
  'monitoring:GetMetricStatistics': entry('GetMetricStatistics', { ...span, Namespace: 'None', MetricName: 'none', Period: 60, Statistics: ['Sum'] }, '200'),
  'monitoring:GetMetricData': entry('GetMetricData', { ...span, MetricDataQueries: [] }, 'ValidationError'),
  'monitoring:PutMetricData': entry('PutMetricData', { Namespace: 'None', MetricData: [] }, 'MissingRequiredParameterException'),
}
