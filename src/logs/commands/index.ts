import type { AnyCommand } from '../../storage/metadata/command.ts'
import { appendLines } from './append.ts'
import { createLogGroup, deleteLogGroup, setProtection, setRetention, tagLogGroup, untagLogGroup } from './groups.ts'
import { createLogStream, deleteLogStream } from './streams.ts'
import { removeExpiredLines, removeGroupLines, removeStreamLines } from './sweep.ts'

/** Every write command of the store of logs. The thread that writes on SQLite loads this module and finds them by name. */
export const commands: readonly AnyCommand[] = [
  createLogGroup,
  deleteLogGroup,
  setRetention,
  setProtection,
  tagLogGroup,
  untagLogGroup,
  createLogStream,
  deleteLogStream,
  appendLines,
  removeExpiredLines,
  removeStreamLines,
  removeGroupLines,
]
