import type { RecordRow } from '../../storage/metadata/observe/cursor-store.ts'

export type { RecordRow } from '../../storage/metadata/observe/cursor-store.ts'

/** Where records of the trail go. */
export interface Outlet {
  /** Of its cursor, and in metrics. */
  readonly name: OutletName
  /** Where it begins when it is set up: with the oldest record there is, or with those that come from then on. */
  readonly begins: 'oldest' | 'newest'
  /** In one turn. */
  readonly maxRecords: number
  /** Of records' texts; one record may be more. */
  readonly maxBytes: number
  /** A turn waits until there are as many records, or for so long. 0: it waits for nothing. */
  readonly gatherMs: number
  /**
   * Hands records over, in the order of the chain. The same call may come again, after a failure or a crash: with the same records where
   * `isFixed`, else with these and others behind them.
   *
   * Rejects where they were not taken; ends soon when the signal says so.
   */
  send(records: readonly RecordRow[], signal: AbortSignal): Promise<void>
  /** What a turn is to send is noted before, so that after a crash it is the same. */
  readonly isFixed: boolean
}

/** Of those that send records on as they come: nothing is waited for, and what is sent again may have more behind it. */
export const sendsOn = { begins: 'newest', gatherMs: 0, isFixed: false } as const satisfies Partial<Outlet>

export const outletNames = ['export', 'syslog', 'otlp', 'webhook'] as const

export type OutletName = (typeof outletNames)[number]
