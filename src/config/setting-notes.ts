import { z } from 'zod'

export type SettingGroup = 'Listening' | 'Storage' | 'Identity' | 'Names' | 'Limits' | 'Quotas' | 'Operation'

export interface SettingNotes {
  /** The environment variable. */
  readonly env: string
  readonly group: SettingGroup
  /** What a value looks like, for the reference. */
  readonly form: string
  readonly description: string
  /** The reference's words for "unset", where there is no default. */
  readonly unset?: string
  /** Never shown, not even in the error that refuses it. */
  readonly secret?: boolean
}

/** What the schema's fields say about themselves. */
export const settingNotes = z.registry<SettingNotes>()
