import { callsOf, refused, type Scenario, type Step } from './step.ts'

const cloudtrail = callsOf('cloudtrail')

/** Made long before, by the scenario of ECR. */
const creations = { LookupAttributes: [{ AttributeKey: 'EventName', AttributeValue: 'CreateRepository' }] }
const lookup = cloudtrail('LookupEvents', creations)

const steps: readonly Step[] = [
  cloudtrail('LookupEvents', { ...creations, StartTime: { $time: '2020-01-01T00:00:00Z' }, EndTime: { $time: '2099-01-01T00:00:00Z' }, MaxResults: 3 }, { until: 'Events[].EventTime' }),
  refused('InvalidLookupAttributesException', lookup, { LookupAttributes: [...creations.LookupAttributes, { AttributeKey: 'ReadOnly', AttributeValue: 'false' }] }),
  refused('InvalidTimeRangeException', lookup, { StartTime: { $time: '2026-02-01T00:00:00Z' }, EndTime: { $time: '2026-01-01T00:00:00Z' } }),
  refused('InvalidMaxResultsException', lookup, { MaxResults: 51 }),
  refused('InvalidNextTokenException', lookup, { NextToken: 'of somebody else' }),
  refused('InvalidEventCategoryException', lookup, { EventCategory: 'unheard-of' }),
  refused('UnsupportedOperationException', lookup, { EventCategory: 'insight' }),
]

export const cloudtrailScenario: Scenario = {
  steps,
  lists: [{ service: 'cloudtrail', operation: 'LookupEvents', input: creations }],
  waits: [],
  cleaning: [],
}
