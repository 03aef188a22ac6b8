import { createWriteStream } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { finished } from 'node:stream/promises'
import { CreateRepositoryCommand, ECRClient } from '@aws-sdk/client-ecr'
import { pino } from 'pino'
import { createLogger } from '../../src/cli/log.ts'
import { loadConfig } from '../../src/config/index.ts'
import { createOperations } from '../../src/http/ops/operations.ts'
import { createHttpServer } from '../../src/http/server.ts'
import { newKeyring, serializeKeyring } from '../../src/iam/index.ts'
import { systemClock, type Clock } from '../../src/internal/clock.ts'
import { systemIds } from '../../src/internal/ids.ts'
import { buildPlatform, type Platform } from '../../src/platform.ts'
import { createDatabase } from './postgres.ts'
import { newLogFile, registerServer, searchDataFolder } from './secrets.ts'

export interface TestPlatformOptions {
  readonly database: 'sqlite' | 'postgres'
  /** For `postgres`: by default a new, empty one. */
  readonly databaseUrl?: string
  readonly clock?: Clock
  readonly dataDir?: string
  /** Further settings, by their environment names. */
  readonly settings?: Readonly<Record<string, string>>
}

export interface TestPlatform {
  readonly url: string
  readonly host: string
  readonly credentials: { readonly accessKeyId: string; readonly secretAccessKey: string }
  /** An `Authorization` header of the root, as docker would send it. */
  readonly authorization: string
  readonly ecr: ECRClient
  readonly platform: Platform
  readonly dataDir: string
  createRepository(name: string): Promise<void>
  stop(): Promise<void>
}

const credentials = { accessKeyId: 'AKIATESTTESTTESTTEST', secretAccessKey: 'a-secret-that-only-tests-know-of' }

/** The whole server in this process, listening on a free port of the loopback address. */
export async function startTestPlatform(options: TestPlatformOptions): Promise<TestPlatform> {
  const clock = options.clock ?? systemClock
  const dataDir = options.dataDir ?? (await mkdtemp(join(tmpdir(), 'stowage-test-')))
  const env = {
    STOWAGE_LISTEN: '127.0.0.1:0',
    STOWAGE_DATA_DIR: dataDir,
    STOWAGE_LOG_LEVEL: 'debug',
    STOWAGE_ROOT_ACCESS_KEY_ID: credentials.accessKeyId,
    STOWAGE_ROOT_SECRET_ACCESS_KEY: credentials.secretAccessKey,
    ...(options.database === 'postgres'
      ? {
          STOWAGE_DATABASE_URL: options.databaseUrl ?? (await createDatabase()).url,
          STOWAGE_KEYRING: serializeKeyring(newKeyring(clock, systemIds)),
        }
      : {}),
    ...options.settings,
  }
  const config = loadConfig(env)
  const logFile = newLogFile('platform')
  const log = logFile === undefined ? undefined : createWriteStream(logFile, { flags: 'a', mode: 0o600 })
  const logger = log === undefined ? pino({ level: 'silent' }) : createLogger(config, { write: (line) => log.write(line) })
  const platform = await buildPlatform(config, {
    logger,
    clock,
    ids: systemIds,
    onFatal: (error) => {
      throw error
    },
  })
  registerServer(env, dataDir)
  const server = createHttpServer({
    config,
    distribution: platform.distribution,
    layerDownload: platform.layerDownload,
    aws: platform.aws,
    operations: createOperations({
      ready: () => platform.ready(),
      metricsText: () => platform.metricsText(),
      metricsToken: undefined,
    }),
    audit: platform.audit,
    logger,
    ids: systemIds,
    clock,
  })
  const { port } = await server.listen({ host: '127.0.0.1', port: 0 })
  const host = `127.0.0.1:${port}`
  const url = `http://${host}`
  const ecr = new ECRClient({ endpoint: url, region: config.region, credentials, maxAttempts: 1 })
  return {
    url,
    host,
    credentials,
    authorization: `Basic ${Buffer.from(`${credentials.accessKeyId}:${credentials.secretAccessKey}`).toString('base64')}`,
    ecr,
    platform,
    dataDir,
    async createRepository(name) {
      await ecr.send(new CreateRepositoryCommand({ repositoryName: name }))
    },
    async stop() {
      ecr.destroy()
      await server.drain(1000)
      await platform.stop()
      registerServer(env, dataDir)
      await searchDataFolder(dataDir)
      if (log !== undefined) await finished(log.end())
      if (options.dataDir === undefined) await rm(dataDir, { recursive: true, force: true })
    },
  }
}
