import type { SeriesValue } from '../metric-reader.ts'
import { isBreaching, type AlarmSettings, type AlarmState, type Comparison, type MissingDataTreatment } from './alarm.ts'

/** Periods that are looked at beyond the evaluation periods, for points that are late or missing. */
const extraPeriods = 2

/** From when until when an alarm is evaluated now: whole periods, of which the last is over. */
export function evaluationRange({ periodSeconds, evaluationPeriods }: AlarmSettings, now: number): { readonly from: number; readonly to: number } {
  const periodMs = periodSeconds * 1000
  const to = now - (now % periodMs)
  return { from: to - (evaluationPeriods + extraPeriods) * periodMs, to }
}

/**
 * The state that points make: true for one that breaches, false for one that does not, undefined where there is none; the oldest
 * first. Undefined: the state stays.
 * https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/alarms-and-missing-data.html
 */
export function stateOf(
  points: readonly (boolean | undefined)[],
  { evaluationPeriods, datapointsToAlarm = evaluationPeriods, treatMissingData = 'missing' }: { readonly evaluationPeriods: number; readonly datapointsToAlarm?: number | undefined; readonly treatMissingData?: MissingDataTreatment | undefined },
): AlarmState | undefined {
  const real = points.filter((point) => point !== undefined)
  const breaching = (of: readonly boolean[]): number => of.filter(Boolean).length
  const verdict = (count: number): AlarmState => (count >= datapointsToAlarm ? 'ALARM' : 'OK')
  // Points from farther back stand in for missing ones.
  if (real.length >= evaluationPeriods) return verdict(breaching(real.slice(-evaluationPeriods)))
  switch (treatMissingData) {
    case 'breaching':
      return verdict(breaching(real) + evaluationPeriods - real.length)
    case 'notBreaching':
      return verdict(breaching(real))
    case 'missing':
    case 'ignore':
      break
  }
  if (real.length === 0) return treatMissingData === 'missing' ? 'INSUFFICIENT_DATA' : undefined
  if (breaching(real) >= datapointsToAlarm) return 'ALARM'
  if (breaching(real) < real.length) return 'OK'
  // All there is breaches, and what came after it is missing: an alarm as soon as it is as old as a whole one would be.
  const age = points.length - points.findIndex((point) => point !== undefined)
  return treatMissingData === 'missing' && age >= datapointsToAlarm ? 'ALARM' : undefined
}

export interface Verdict {
  readonly state: AlarmState
  readonly reason: string
  /** As JSON. */
  readonly data: string
}

/** What the values of an evaluation range say; undefined: the state stays. */
export function evaluate(settings: AlarmSettings, values: readonly SeriesValue[], now: number): Verdict | undefined {
  const { periodSeconds, evaluationPeriods, datapointsToAlarm = evaluationPeriods, comparison, threshold, statistic, unit } = settings
  const { from, to } = evaluationRange(settings, now)
  const byTime = new Map(values.map(({ at, value }) => [at, value]))
  const points: (number | undefined)[] = []
  for (let at = from; at < to; at += periodSeconds * 1000) points.push(byTime.get(at))
  const state = stateOf(points.map((value) => (value === undefined ? undefined : isBreaching(value, comparison, threshold))), settings)
  if (state === undefined) return undefined
  const recent = values.slice(-evaluationPeriods)
  return {
    state,
    reason: reasonOf(state, recent, { evaluationPeriods, datapointsToAlarm, comparison, threshold }),
    data: JSON.stringify({
      version: '1.0',
      queryDate: amazonTime(now),
      ...(recent[0] === undefined ? {} : { startDate: amazonTime(recent[0].at) }),
      ...(unit === undefined ? {} : { unit }),
      statistic,
      period: periodSeconds,
      recentDatapoints: recent.map(({ value }) => value),
      threshold,
      evaluatedDatapoints: recent.toReversed().slice(0, maxToldPoints).map(({ at, value }) => ({ timestamp: amazonTime(at), value })),
    }),
  }
}

/** The data of a state has 4,000 characters at most. */
const maxToldPoints = 20
const maxShownValues = 5

const words: Readonly<Record<Comparison, readonly [isSo: string, isNot: string]>> = {
  GreaterThanOrEqualToThreshold: ['greater than or equal to', 'not greater than or equal to'],
  GreaterThanThreshold: ['greater than', 'not greater than'],
  LessThanThreshold: ['less than', 'not less than'],
  LessThanOrEqualToThreshold: ['less than or equal to', 'not less than or equal to'],
}

/** In CloudWatch's words. */
function reasonOf(
  state: AlarmState,
  recent: readonly SeriesValue[],
  { evaluationPeriods, datapointsToAlarm, comparison, threshold }: { evaluationPeriods: number; datapointsToAlarm: number; comparison: Comparison; threshold: number },
): string {
  if (state === 'INSUFFICIENT_DATA') return `Insufficient Data: ${evaluationPeriods} datapoint${evaluationPeriods === 1 ? ' was' : 's were'} unknown.`
  const isAlarm = state === 'ALARM'
  const counted = recent.filter(({ value }) => isBreaching(value, comparison, threshold) === isAlarm)
  const shown = counted.slice(-maxShownValues).map(({ at, value }) => `${decimal(value)} (${shownTime(at)})`)
  const [isSo, isNot] = words[comparison]
  const needed = isAlarm ? datapointsToAlarm : evaluationPeriods - datapointsToAlarm + 1
  if (counted.length === 0) {
    return `Threshold Crossed: no datapoints were received for ${evaluationPeriods} period${evaluationPeriods === 1 ? '' : 's'} and ${evaluationPeriods} missing datapoint${evaluationPeriods === 1 ? ' was' : 's were'} treated as [${isAlarm ? 'Breaching' : 'NonBreaching'}].`
  }
  return `Threshold Crossed: ${counted.length} out of the last ${evaluationPeriods} datapoints [${shown.join(', ')}] ${counted.length === 1 ? 'was' : 'were'} ${isAlarm ? isSo : isNot} the threshold (${decimal(threshold)}) (minimum ${needed} datapoint${needed === 1 ? '' : 's'} for ${isAlarm ? 'OK -> ALARM' : 'ALARM -> OK'} transition).`
}

/** With a point, as CloudWatch writes numbers. */
function decimal(value: number): string {
  return Number.isInteger(value) ? `${value}.0` : String(value)
}

function shownTime(at: number): string {
  const [, year, month, day, time] = /^\d\d(\d\d)-(\d\d)-(\d\d)T(.{8})/u.exec(new Date(at).toISOString()) ?? []
  return `${day}/${month}/${year} ${time}`
}

/** Times in what CloudWatch tells of alarms: `2027-03-01T09:12:05.114+0000`. */
export function amazonTime(at: number): string {
  return new Date(at).toISOString().replace('Z', '+0000')
}
