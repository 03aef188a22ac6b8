import type { EventEnvelope } from '../../events/envelope.ts'
import { RecurringWork } from '../../internal/recurring-work.ts'
import { commandContext, type RequestContext } from '../../registry/index.ts'
import type { CommandContext } from '../../storage/metadata/command.ts'
import type { MetadataDatabase } from '../../storage/metadata/database.ts'
import {
  findMetricAlarm,
  listAlarmHistory,
  listAlarmsToEvaluate,
  listMetricAlarms,
  type AlarmHistoryRow,
  type AlarmToEvaluate,
  type HistoryQuery,
  type MetricAlarmRow,
} from '../../storage/metadata/stores/metric-alarm-store.ts'
import { changeAlarmState, deleteAlarms, putAlarm, setAlarmActions, type StateOutcome } from '../commands/alarms.ts'
import type { MetricReader } from '../metric-reader.ts'
import type { AlarmSettings, AlarmState } from './alarm.ts'
import { alarmEvent } from './alarm-event.ts'
import { evaluate, evaluationRange } from './evaluation.ts'

export interface MetricAlarmDependencies {
  readonly database: MetadataDatabase
  readonly reader: MetricReader
  readonly clock: { now(): number }
  readonly systemContext: () => CommandContext
  /** Which targets of a registry's rules take an event. */
  readonly targetsOf: (registryId: number, event: EventEnvelope) => Promise<readonly number[]>
  /** There is something to be sent. */
  readonly onTold: () => void
  readonly onError: (error: unknown) => void
}

/** An alarm as it is, with its settings. */
export interface Alarm extends Omit<MetricAlarmRow, 'settings' | 'actionsEnabled' | 'registryId'> {
  readonly settings: AlarmSettings
  readonly actionsEnabled: boolean
}

const minuteMs = 60_000
/** Records of a minute are sealed within seconds after it. */
const settledAfterMs = 10_000
const alarmsAtOnce = 200
/** Somebody sets a state while an evaluation or another server does. */
const mostTries = 5

/** Alarms on metrics: what they are, and, once a minute, what they say. */
export class MetricAlarms {
  readonly #deps: MetricAlarmDependencies
  readonly #evaluation: RecurringWork
  #timer: NodeJS.Timeout | undefined

  constructor(deps: MetricAlarmDependencies) {
    this.#deps = deps
    this.#evaluation = new RecurringWork((signal) => this.evaluateAll(signal), deps.onError)
  }

  /** Evaluates from now on, a moment after each minute is over. */
  start(): void {
    const now = this.#deps.clock.now()
    this.#timer = setTimeout(() => {
      void this.#evaluation.run()
      this.#evaluation.start(minuteMs)
    }, minuteMs - (now % minuteMs) + settledAfterMs)
    this.#timer.unref()
  }

  async stop(): Promise<void> {
    clearTimeout(this.#timer)
    await this.#evaluation.stop()
  }

  /** False: there are as many as there may be. */
  put(context: RequestContext, name: string, settings: AlarmSettings, actionsEnabled: boolean): Promise<boolean> {
    return this.#deps.database.execute(putAlarm, { name, settings, actionsEnabled }, commandContext(context))
  }

  /** Answers the name of one that is not there, where there is such a one: then none is removed. */
  delete(context: RequestContext, names: readonly string[]): Promise<string | undefined> {
    return this.#deps.database.execute(deleteAlarms, { names }, commandContext(context))
  }

  setActions(context: RequestContext, names: readonly string[], enabled: boolean): Promise<void> {
    return this.#deps.database.execute(setAlarmActions, { names, enabled }, commandContext(context))
  }

  async find(context: RequestContext, name: string): Promise<Alarm | undefined> {
    const row = await findMetricAlarm(this.#deps.database.reader, context.registry.id, name)
    return row && alarmOf(row)
  }

  /** Those of a page's length that are wanted, by name. Its cost grows with the alarms that are not wanted. */
  async list(context: RequestContext, isWanted: (alarm: Alarm) => boolean, page: { readonly after: string; readonly limit: number }): Promise<Alarm[]> {
    const found: Alarm[] = []
    for (let after = page.after; ; ) {
      const rows = await listMetricAlarms(this.#deps.database.reader, context.registry.id, after, alarmsAtOnce)
      for (const row of rows) {
        const alarm = alarmOf(row)
        if (isWanted(alarm) && found.push(alarm) === page.limit) return found
      }
      if (rows.length < alarmsAtOnce) return found
      after = rows.at(-1)!.name
    }
  }

  history(context: RequestContext, query: Omit<HistoryQuery, 'registryId'>): Promise<AlarmHistoryRow[]> {
    return listAlarmHistory(this.#deps.database.reader, { ...query, registryId: context.registry.id })
  }

  /** Until the next evaluation, which may find another. False: there is no such alarm. Rejects where others change it all the time. */
  async setState(context: RequestContext, name: string, { state, reason, data }: { readonly state: AlarmState; readonly reason: string; readonly data: string | null }): Promise<boolean> {
    const { database } = this.#deps
    const alarm = await findMetricAlarm(database.reader, context.registry.id, name)
    if (alarm === undefined) return false
    const { accountId, region } = context.registry
    for (let tries = 0; tries < mostTries; tries += 1) {
      const outcome = await this.#change({ ...alarm, accountId, region }, { state, reason, data }, commandContext(context), true)
      if (outcome !== 'stale') return outcome !== 'gone'
    }
    throw new Error(`the alarm ${name} was changed by others ${mostTries} times`)
  }

  /** Evaluates every alarm of the installation. A failure of one is told, and keeps none of the others. */
  async evaluateAll(signal?: AbortSignal): Promise<void> {
    const { database, onError } = this.#deps
    const isEnded = (): boolean => signal?.aborted === true
    for (let after = 0; !isEnded(); ) {
      const alarms = await listAlarmsToEvaluate(database.reader, after, alarmsAtOnce)
      for (const alarm of alarms) {
        if (isEnded()) return
        await this.#evaluate(alarm).catch(onError)
      }
      if (alarms.length < alarmsAtOnce) return
      after = alarms.at(-1)!.id
    }
  }

  async #evaluate(alarm: AlarmToEvaluate): Promise<void> {
    const { reader, clock, systemContext } = this.#deps
    const settings = JSON.parse(alarm.settings) as AlarmSettings
    const now = clock.now()
    const { accountId: account, region } = alarm
    const { namespace, metricName: name, dimensions, statistic, unit, periodSeconds } = settings
    const values = await reader.readSeries({ account, region, metric: { namespace, name, dimensions }, statistic, unit, periodMs: periodSeconds * 1000, ...evaluationRange(settings, now) })
    const verdict = evaluate(settings, values, now)
    if (verdict === undefined || verdict.state === alarm.state) return
    await this.#change(alarm, verdict, { ...systemContext(), registryId: alarm.registryId, accountId: account, region }, false)
  }

  async #change(
    alarm: Pick<AlarmToEvaluate, 'id' | 'registryId' | 'name' | 'accountId' | 'region'>,
    { state, reason, data }: { readonly state: AlarmState; readonly reason: string; readonly data: string | null },
    context: CommandContext,
    isByHand: boolean,
  ): Promise<StateOutcome | 'gone'> {
    const { database, targetsOf, onTold } = this.#deps
    const before = await findMetricAlarm(database.reader, alarm.registryId, alarm.name)
    if (before === undefined) return 'gone'
    const event = alarmEvent({
      accountId: alarm.accountId,
      region: alarm.region,
      name: alarm.name,
      id: alarm.id,
      settings: JSON.parse(before.settings) as AlarmSettings,
      previous: { value: before.state, reason: before.stateReason, data: before.stateData, at: before.stateAt },
      state: { value: state, reason, data, at: context.nowMs },
    })
    const targetIds = before.state === state ? [] : await targetsOf(alarm.registryId, event)
    const told = targetIds.length === 0 ? undefined : { eventId: event.id, event: JSON.stringify(event), targetIds }
    const { id, configuredAt } = before
    const outcome = await database.execute(changeAlarmState, { name: alarm.name, expected: { id, state: before.state, configuredAt }, state, reason, data, told, isByHand }, context)
    if (outcome === 'another' && told !== undefined) onTold()
    return outcome
  }
}

function alarmOf({ settings, actionsEnabled, ...row }: MetricAlarmRow): Alarm {
  return { ...row, settings: JSON.parse(settings) as AlarmSettings, actionsEnabled: actionsEnabled === 1 }
}
