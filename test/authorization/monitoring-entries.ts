import type { Entry, EntryTable } from './entry.ts'

/** https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazoncloudwatch.html */
function entry(operation: string, input: object, granted: string, resource = '*'): Entry {
  return {
    subject: 'own account',
    needs: [`cloudwatch:${operation}`],
    resource,
    granted,
    request: () => ({ protocol: 'json', service: 'monitoring', target: `GraniteServiceVersion20100801.${operation}`, input }),
  }
}

const anyAlarm = 'arn:aws:cloudwatch:us-east-1:{account}:alarm:*'
const alarm = 'arn:aws:cloudwatch:us-east-1:{account}:alarm:none'
const named = { AlarmNames: ['none'] }
const span = { StartTime: 1_000_000, EndTime: 1_000_600 }

export const monitoringEntries: EntryTable = {
  'monitoring:ListMetrics': entry('ListMetrics', {}, '200'),
  'monitoring:GetMetricStatistics': entry('GetMetricStatistics', { ...span, Namespace: 'None', MetricName: 'none', Period: 60, Statistics: ['Sum'] }, '200'),
  'monitoring:GetMetricData': entry('GetMetricData', { ...span, MetricDataQueries: [] }, 'ValidationError'),
  'monitoring:PutMetricData': entry('PutMetricData', { Namespace: 'None', MetricData: [] }, 'MissingRequiredParameterException'),
  'monitoring:PutMetricAlarm': entry('PutMetricAlarm', { AlarmName: 'none' }, 'ValidationError', alarm),
  'monitoring:DescribeAlarms': entry('DescribeAlarms', {}, '200', anyAlarm),
  'monitoring:DescribeAlarmsForMetric': entry('DescribeAlarmsForMetric', { Namespace: 'None', MetricName: 'none' }, '200'),
  'monitoring:DescribeAlarmHistory': entry('DescribeAlarmHistory', {}, '200', anyAlarm),
  'monitoring:SetAlarmState': entry('SetAlarmState', { AlarmName: 'none', StateValue: 'OK', StateReason: '' }, 'ResourceNotFound', alarm),
  'monitoring:EnableAlarmActions': entry('EnableAlarmActions', named, '200', alarm),
  'monitoring:DisableAlarmActions': entry('DisableAlarmActions', named, '200', alarm),
  'monitoring:DeleteAlarms': entry('DeleteAlarms', named, 'ResourceNotFound', alarm),
}
