import { boolean, double, enumeration, integer, list, map, required, simplePattern, string, structure, timestamp } from '../../shapes.ts'

/* The constraints of CloudWatch's model (monitoring-2010-08-01). */

export const units = [
  ...['Seconds', 'Microseconds', 'Milliseconds', 'Bytes', 'Kilobytes', 'Megabytes', 'Gigabytes', 'Terabytes', 'Bits', 'Kilobits', 'Megabits', 'Gigabits', 'Terabits', 'Percent', 'Count'],
  ...['Bytes/Second', 'Kilobytes/Second', 'Megabytes/Second', 'Gigabytes/Second', 'Terabytes/Second', 'Bits/Second', 'Kilobits/Second', 'Megabits/Second', 'Gigabits/Second', 'Terabits/Second', 'Count/Second', 'None'],
]

export const maxDimensions = 30

export const namespace = string({ min: 1, max: 255, pattern: simplePattern(/^[^:]/, '[^:].*') })
export const metricName = string({ min: 1, max: 255 })
export const unit = enumeration(units)
export const statistic = enumeration(['SampleCount', 'Average', 'Sum', 'Minimum', 'Maximum'])
export const period = integer({ min: 1 })
export const nextToken = string({ max: 4096 })
export const accountId = string({ min: 1, max: 255 })
export const dimension = structure({ Name: required(string({ min: 1, max: 255 })), Value: required(string({ min: 1, max: 1024 })) })
export const dimensions = list(dimension, { max: maxDimensions })
export const dimensionFilters = list(structure({ Name: required(string({ min: 1, max: 255 })), Value: string({ min: 1, max: 1024 }) }), { max: 10 })
export const extendedStatistics = list(string({ max: 255 }), { min: 1, max: 10 })
export const scanBy = enumeration(['TimestampDescending', 'TimestampAscending'])

export const metricDataQueries = list(
  structure({
    Id: required(string({ min: 1, max: 255 })),
    MetricStat: structure({
      Metric: required(structure({ Namespace: namespace, MetricName: metricName, Dimensions: dimensions })),
      Period: required(period),
      Stat: required(string({ max: 255 })),
      Unit: unit,
    }),
    Expression: string({ min: 1, max: 2048 }),
    Label: string({ max: 2048 }),
    ReturnData: boolean(),
    Period: period,
    AccountId: accountId,
  }),
)

export const metricData = list(
  structure({
    MetricName: required(metricName),
    Dimensions: dimensions,
    Timestamp: timestamp(),
    Value: double(),
    StatisticValues: structure({ SampleCount: required(double()), Sum: required(double()), Minimum: required(double()), Maximum: required(double()) }),
    Values: list(double()),
    Counts: list(double()),
    Unit: unit,
    StorageResolution: integer({ min: 1 }),
  }),
)

/** Looked at only to refuse it. */
export const unservedEntities = list(structure({ Entity: structure({ KeyAttributes: map(string(), string()) }) }))
