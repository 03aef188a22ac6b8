import { describe, expect, it } from 'vitest'
import type { AlarmSettings, AlarmState } from './alarm.ts'
import { evaluate, evaluationRange, stateOf } from './evaluation.ts'

/** As CloudWatch's documentation writes points: X breaches, 0 does not, - is missing; the newest is on the right. */
function points(text: string): (boolean | undefined)[] {
  return text.split(' ').map((point) => (point === '-' ? undefined : point === 'X'))
}

const kept = undefined

/** The tables of https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/alarms-and-missing-data.html, in the order missing, ignore, breaching, notBreaching. */
describe.each([
  [3, '0 - X - X', ['OK', 'OK', 'OK', 'OK']],
  [3, '0 - - - -', ['OK', 'OK', 'OK', 'OK']],
  [3, '- - - - -', ['INSUFFICIENT_DATA', kept, 'ALARM', 'OK']],
  [3, '0 X X - X', ['ALARM', 'ALARM', 'ALARM', 'ALARM']],
  [3, '- - X - -', ['ALARM', kept, 'ALARM', 'OK']],
  [2, '0 - X - X', ['ALARM', 'ALARM', 'ALARM', 'ALARM']],
  [2, '0 0 X 0 X', ['ALARM', 'ALARM', 'ALARM', 'ALARM']],
  [2, '0 - X - -', ['OK', 'OK', 'ALARM', 'OK']],
  [2, '- - - - 0', ['OK', 'OK', 'ALARM', 'OK']],
  [2, '- - - X -', ['ALARM', kept, 'ALARM', 'OK']],
] as const satisfies readonly (readonly [number, string, readonly (AlarmState | undefined)[]])[])('%d of three points, %s', (datapointsToAlarm, text, states) => {
  it.each(['missing', 'ignore', 'breaching', 'notBreaching'] as const)('where missing ones are %s', (treatMissingData) => {
    const expected = states[['missing', 'ignore', 'breaching', 'notBreaching'].indexOf(treatMissingData)]
    expect(stateOf(points(text), { evaluationPeriods: 3, datapointsToAlarm, treatMissingData })).toBe(expected)
  })
})

const minuteMs = 60_000
const now = Date.UTC(2027, 2, 1, 9, 30, 20)
const settings: AlarmSettings = { namespace: 'n', metricName: 'm', dimensions: [], statistic: 'Sum', periodSeconds: 300, evaluationPeriods: 2, datapointsToAlarm: 1, threshold: 3, comparison: 'GreaterThanThreshold' }

it('looks at whole periods that are over', () => {
  expect(evaluationRange(settings, now)).toEqual({ from: Date.UTC(2027, 2, 1, 9, 10), to: Date.UTC(2027, 2, 1, 9, 30) })
})

it("says why in CloudWatch's words", () => {
  const at = (minutes: number): number => Date.UTC(2027, 2, 1, 9, 30) - minutes * minuteMs
  expect(evaluate(settings, [{ at: at(10), value: 1 }, { at: at(5), value: 4.5 }], now)).toMatchObject({
    state: 'ALARM',
    reason: 'Threshold Crossed: 1 out of the last 2 datapoints [4.5 (01/03/27 09:25:00)] was greater than the threshold (3.0) (minimum 1 datapoint for OK -> ALARM transition).',
  })
  const calm = evaluate(settings, [{ at: at(10), value: 1 }, { at: at(5), value: 3 }], now)
  expect(calm).toMatchObject({
    state: 'OK',
    reason: 'Threshold Crossed: 2 out of the last 2 datapoints [1.0 (01/03/27 09:20:00), 3.0 (01/03/27 09:25:00)] were not greater than the threshold (3.0) (minimum 2 datapoints for ALARM -> OK transition).',
  })
  expect(JSON.parse(calm!.data)).toMatchObject({ version: '1.0', statistic: 'Sum', period: 300, recentDatapoints: [1, 3], threshold: 3, startDate: '2027-03-01T09:20:00.000+0000' })
  expect(evaluate(settings, [], now)).toMatchObject({ state: 'INSUFFICIENT_DATA', reason: 'Insufficient Data: 2 datapoints were unknown.' })
  expect(evaluate({ ...settings, treatMissingData: 'breaching' }, [], now)?.reason).toContain('treated as [Breaching]')
  expect(evaluate({ ...settings, treatMissingData: 'ignore' }, [], now)).toBeUndefined()
})
