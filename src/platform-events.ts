import type { Logger } from 'pino'
import { toldEventTypes, type TrailFeed } from './audit/index.ts'
import { mayUsePrivateHost, type Config } from './config/index.ts'
import { DeadLetters } from './events/dead-letters.ts'
import { freeLanes } from './events/commands/delivery.ts'
import { EventDelivery } from './events/delivery/event-delivery.ts'
import { EventDestinations } from './events/event-destinations.ts'
import { EventRules } from './events/event-rules.ts'
import type { Keyring } from './iam/index.ts'
import type { Clock } from './internal/clock.ts'
import type { IdSource } from './internal/ids.ts'
import { createAddressGuard } from './internal/outbound/address-guard.ts'
import { createGuardedHttps, type GuardedHttpsOptions } from './internal/outbound/guarded-https.ts'
import { TrustedAuthorities } from './internal/outbound/trusted-authorities.ts'
import type { Logs } from './logs/index.ts'
import { addEventMetrics, type PlatformMetrics } from './platform-metrics.ts'
import type { CommandContext } from './storage/metadata/command.ts'
import type { MetadataDatabase } from './storage/metadata/database.ts'

const firstWaitMs = 1_000

interface EventsDependencies {
  readonly database: MetadataDatabase
  readonly keyring: Keyring
  readonly logs: Pick<Logs, 'putOwn'>
  readonly clock: Clock
  readonly ids: IdSource
  readonly logger: Logger
  readonly systemContext: () => CommandContext
  readonly metrics: PlatformMetrics
  /** No other server uses the database. */
  readonly isAlone: boolean
  /** Absent where nothing is sealed into it. */
  readonly trail: TrailFeed | undefined
}

/** Constructs what is said of events, and starts what sends them. */
export async function startEvents(config: Config, deps: EventsDependencies, releases: (() => Promise<void> | void)[]) {
  const { database, keyring, logs, clock, ids, logger, systemContext, metrics, isAlone, trail } = deps
  const outgoing: GuardedHttpsOptions = {
    mayBePrivate: (host, account) => mayUsePrivateHost(config.eventsPrivateHosts, config.accountId, host, account),
    caFile: config.eventsCaFile,
    setting: 'STOWAGE_EVENTS_PRIVATE_HOSTS',
    // With those of identity providers, one thread is left for files.
    lookups: { most: 1, mostOfAccount: 1 },
  }
  const guard = createAddressGuard(outgoing)
  const { eventsLongestWaitMs: longestWaitMs } = config
  const delivery = new EventDelivery({
    database,
    https: createGuardedHttps(outgoing, guard),
    mail: { guard, trusted: new TrustedAuthorities(config.eventsCaFile, ['default']) },
    keyring,
    putLogLine: (place, group, stream, line) => logs.putOwn(place, group, stream, line),
    clock,
    logger,
    systemContext,
    owner: ids.uuid(),
    settings: { firstWaitMs: Math.min(firstWaitMs, longestWaitMs), longestWaitMs },
    random: () => ids.bytes(4).readUInt32LE() / 2 ** 32,
  }, trail && Object.assign(trail, { types: toldEventTypes }))
  addEventMetrics(metrics, delivery.counters, async () => {
    const { waiting, onTheirWay, deadLetters, oldestAt } = await delivery.queues()
    return { waiting: waiting + onTheirWay, deadLetters, oldestSeconds: oldestAt === undefined ? 0 : Math.max(0, clock.now() - oldestAt) / 1000 }
  })
  if (isAlone) await database.execute(freeLanes, {}, systemContext())
  await delivery.start()
  releases.push(() => delivery.stop())
  const onChange = (): void => delivery.wake()
  return {
    delivery,
    rules: new EventRules(database, onChange),
    destinations: new EventDestinations({ database, keyring, ids }),
    deadLetters: new DeadLetters(database, onChange),
  }
}
