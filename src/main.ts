import { hostname } from 'node:os'
import type { Logger } from 'pino'
import { exitCodes, hostAndPort, type Config, type TlsConfig } from './config/index.ts'
import { HttpMetrics } from './http/ops/http-metrics.ts'
import { createOperations } from './http/ops/operations.ts'
import type { EdgeHandler } from './http/request-meta.ts'
import { createHttpServer, type HttpServer, type RequestAudit, type TlsPair } from './http/server.ts'
import { loadTlsPair, noticeExpiry, watchTlsFiles, type TlsFiles } from './http/tls.ts'
import { systemClock, type Clock } from './internal/clock.ts'
import type { RequestTracer } from './internal/tracing.ts'
import type { MetricSet } from './metrics/index.ts'
import { systemIds, type IdSource } from './internal/ids.ts'

/** What the server needs of the composition root. */
export interface ServedPlatform {
  readonly distribution: EdgeHandler
  readonly layerDownload: EdgeHandler
  readonly aws: EdgeHandler
  ready(): Promise<{ ok: boolean; reason?: string }>
  readonly metrics: MetricSet
  readonly tracer?: RequestTracer | undefined
  readonly audit?: RequestAudit | undefined
  metricsText(): Promise<string>
  readonly rootCredential: RootCredentialNotice
  stop(): Promise<void>
}

/** Which root credential is in force, without its secret. */
export interface RootCredentialNotice {
  readonly accessKeyId: string
  readonly source: 'generated' | 'file' | 'environment'
  readonly file?: string
  /** True at the start that made it. */
  readonly createdNow: boolean
}

export type BuildPlatform = (
  config: Config,
  dependencies: Dependencies & { readonly onFatal: (error: Error) => void },
) => Promise<ServedPlatform>

interface Dependencies {
  readonly logger: Logger
  readonly clock: Clock
  readonly ids: IdSource
}

/** What is worth telling the operator once the server listens. */
export interface ServerStarted {
  readonly config: Config
  /** The address as clients on this machine would write it. */
  readonly url: string
  readonly rootCredential: RootCredentialNotice
}

export interface RunServerOptions {
  readonly logger: Logger
  readonly clock?: Clock
  readonly ids?: IdSource
  /** The composition root; another only where a test needs no registry behind the listener. */
  readonly buildPlatform?: BuildPlatform
  announce?(started: ServerStarted): void | Promise<void>
}

/** For what has to be written down after the last request: a database that hangs must not hold the process for ever. */
const platformStopTimeoutMs = 10_000

/** A self-signed certificate is looked after this often; it has a month left when it is made anew. */
const selfSignedCheckIntervalMs = 12 * 60 * 60 * 1000

/**
 * Serves until a signal, then drains, and answers with the process's exit code. A second signal ends the process,
 * and so does a platform that can no longer write: without waiting, with exit code 1.
 *
 * @throws PlatformError where it cannot start: `listen-failed`, `tls-unusable`, and the platform's own codes.
 */
export async function runServer(config: Config, options: RunServerOptions): Promise<number> {
  const { logger } = options
  const dependencies = { logger, clock: options.clock ?? systemClock, ids: options.ids ?? systemIds }
  // Before anything else: in a container, a process without handlers is deaf to signals.
  const signals = listenToSignals(logger)
  const fatal = Promise.withResolvers<Error>()
  try {
    // Before anything is made in the data folder: a certificate that cannot be used is found now.
    if (config.tls.mode === 'files') await loadTlsPair(config.tls)
    const buildPlatform = options.buildPlatform ?? (await import('./platform.ts')).buildPlatform
    const platform = await buildPlatform(config, { ...dependencies, onFatal: fatal.resolve })
    try {
      const end = Promise.race([signals.first, fatal.promise])
      return await serve(config, platform, end, options, dependencies)
    } finally {
      await stopPlatform(platform, logger)
    }
  } finally {
    signals.close()
  }
}

async function serve(
  config: Config,
  platform: ServedPlatform,
  end: Promise<NodeJS.Signals | Error>,
  options: RunServerOptions,
  dependencies: Dependencies,
): Promise<number> {
  const { logger } = dependencies
  const tls = await prepareTls(config, dependencies)
  try {
    const { server, operations } = assemble(config, platform, tls?.pair, dependencies)
    const address = await server.listen(config.listen)
    tls?.follow(server)
    const scheme = tls === undefined ? 'http' : 'https'
    const url = `${scheme}://${hostAndPort(shownHost(config), address.port)}`
    logger.info({ address: hostAndPort(address.address, address.port), scheme, ...platform.rootCredential }, 'listening')
    await options.announce?.({ config, url, rootCredential: platform.rootCredential })

    const reason = await end
    const failed = reason instanceof Error
    if (failed) logger.fatal({ err: reason }, 'stopping: nothing can be written safely any more')
    else logger.info({ signal: reason, inFlight: server.inFlight, drainTimeoutMs: config.drainTimeoutMs }, 'stopping: no new requests are accepted')
    operations.startDraining()
    // What is in flight then cannot be acknowledged: its clients should hear soon, and try again elsewhere.
    const { cutOff } = await server.drain(failed ? 0 : config.drainTimeoutMs)
    if (cutOff > 0) logger.warn({ cutOff }, 'requests were cut off')
    return failed ? exitCodes.failed.code : exitCodes.ok.code
  } finally {
    tls?.close()
  }
}

function assemble(
  config: Config,
  platform: ServedPlatform,
  pair: TlsPair | undefined,
  dependencies: Dependencies,
): { server: HttpServer; operations: ReturnType<typeof createOperations> } {
  const metrics = new HttpMetrics(platform.metrics, () => server.inFlight)
  const operations = createOperations({
    ready: () => platform.ready(),
    metricsText: () => platform.metricsText(),
    metricsToken: config.metricsToken,
  })
  const { distribution, layerDownload, aws } = platform
  const server = createHttpServer({
    config,
    distribution,
    layerDownload,
    aws,
    operations,
    tls: pair,
    tracer: platform.tracer,
    audit: platform.audit,
    onExchange: (record) => metrics.observe(record),
    ...dependencies,
  })
  return { server, operations }
}

/** What to write for an address that means "all of them". */
function shownHost(config: Config): string {
  const { host } = config.listen
  return ['0.0.0.0', '::', '127.0.0.1', '::1'].includes(host) ? 'localhost' : host
}

interface PreparedTls {
  readonly pair: TlsPair
  follow(server: HttpServer): void
  close(): void
}

async function prepareTls(
  config: Config,
  { logger, clock, ids }: Dependencies,
): Promise<PreparedTls | undefined> {
  const files = await tlsFiles(config, config.tls, { clock, ids })
  if (files === undefined) return undefined
  const pair = await loadTlsPair(files)
  noticeExpiry(pair, files, logger, clock)
  let watcher: { close(): void } | undefined
  let renewal: NodeJS.Timeout | undefined
  return {
    pair,
    follow(server) {
      watcher = watchTlsFiles({ files, logger, clock, apply: (changed) => server.setSecureContext(changed) })
      if (config.tls.mode !== 'self-signed') return
      const renew = (): void => {
        tlsFiles(config, config.tls, { clock, ids }).catch((error: unknown) => {
          logger.error({ err: error }, 'the self-signed certificate could not be renewed')
        })
      }
      renewal = setInterval(renew, selfSignedCheckIntervalMs)
      renewal.unref()
    },
    close() {
      watcher?.close()
      clearInterval(renewal)
    },
  }
}

async function tlsFiles(
  config: Config,
  tls: TlsConfig,
  { clock, ids }: Pick<Dependencies, 'clock' | 'ids'>,
): Promise<TlsFiles | undefined> {
  if (tls.mode === 'off') return undefined
  if (tls.mode === 'files') return tls
  // Certificates are made seldom, and what makes them is large to load.
  const { ensureSelfSigned, selfSignedNames } = await import('./http/self-signed.ts')
  const names = selfSignedNames(config, hostname())
  const { paths } = await ensureSelfSigned({ dataDir: config.dataDir, names, clock, ids })
  return paths
}

async function stopPlatform(platform: ServedPlatform, logger: Logger): Promise<void> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => reject(new Error(`the platform did not stop within ${platformStopTimeoutMs} ms`)), platformStopTimeoutMs)
  })
  try {
    await Promise.race([platform.stop(), late])
    logger.info('stopped')
  } finally {
    clearTimeout(timer)
  }
}

const signalNumbers = { SIGINT: 2, SIGTERM: 15 } as const

function listenToSignals(logger: Logger): { first: Promise<NodeJS.Signals>; close(): void } {
  const received = Promise.withResolvers<NodeJS.Signals>()
  let count = 0
  const hear = (signal: NodeJS.Signals): void => {
    count += 1
    received.resolve(signal)
    if (count < 2) return
    logger.warn({ signal }, 'second signal: exiting at once')
    process.exit(128 + signalNumbers[signal as keyof typeof signalNumbers])
  }
  for (const signal of Object.keys(signalNumbers)) process.on(signal, hear)
  return {
    first: received.promise,
    close() {
      for (const signal of Object.keys(signalNumbers)) process.off(signal, hear)
    },
  }
}
