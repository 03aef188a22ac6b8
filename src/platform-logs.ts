import type { Logger } from 'pino'
import { mebibyte, type Config } from './config/index.ts'
import type { Clock } from './internal/clock.ts'
import type { IdSource } from './internal/ids.ts'
import { Logs, LogSweeper } from './logs/index.ts'
import { beginRegistry } from './registry/commands/registries.ts'
import { commandContext } from './registry/context.ts'
import type { CommandContext } from './storage/metadata/command.ts'
import type { MetadataDatabase } from './storage/metadata/database.ts'
import { isLogsStoreThere, logsTarget, openLogs, type LogsDatabase } from './storage/metadata/logs/open.ts'
import type { MetadataTarget } from './storage/metadata/migrate.ts'

export interface LogsDependencies {
  readonly database: MetadataDatabase
  readonly target: MetadataTarget
  readonly clock: Clock
  readonly ids: IdSource
  readonly logger: Logger
  readonly systemContext: () => CommandContext
}

/** Constructs what keeps logs. The store is opened by whoever is the first to need it; a server without logs has none. */
export async function startLogs(config: Config, deps: LogsDependencies, releases: (() => Promise<void> | void)[]): Promise<Logs> {
  const { database, target, clock, ids, logger, systemContext } = deps
  const store = logsTarget(config.dataDir, target)
  let opening: Promise<LogsDatabase> | undefined
  const open = (): Promise<LogsDatabase> =>
    (opening ??= openLogs(store, {
      catalogueUrl: new URL('./logs/commands/index.ts', import.meta.url).href,
      ids,
      onFatal(error) {
        // Images are served all the same.
        logger.error({ err: error }, 'the store of logs can no longer be written safely: calls about logs are refused until the server is started again')
      },
      onConnectionLost(error) {
        logger.warn({ err: error }, 'idle database connection lost')
      },
    }).then(
      (opened) => {
        // What other servers with the same database have left to remove.
        void sweeper.wake()
        return opened
      },
      (error: unknown) => {
        opening = undefined
        throw error
      },
    ))
  const sweeper = new LogSweeper({
    open,
    clock,
    context: systemContext,
    onError(error) {
      logger.error({ err: error }, 'old lines of logs could not be removed')
    },
  })
  const logs = new Logs({
    open,
    clock,
    context: systemContext,
    quotas: { groups: config.logsMaxGroups, streamsPerGroup: config.logsMaxStreams, bytes: config.logsMaxMebibytes * mebibyte },
    beginRegistry: (context) => database.execute(beginRegistry, {}, commandContext(context)),
    onRemoved: () => void sweeper.wake(),
  })
  releases.push(async () => {
    await sweeper.stop()
    await logs.stop()
    await (await opening?.catch(() => undefined))?.close()
  })
  // What a server that was stopped had still to remove.
  if (await isLogsStoreThere(store, database.reader)) void sweeper.wake()
  return logs
}
