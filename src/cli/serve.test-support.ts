// The server's process with nothing behind the listener, to watch it start, drain and fail.
import { loadConfig } from '../config/index.ts'
import { runServer, type ServedPlatform } from '../main.ts'
import { describeFailure } from './failures.ts'
import { MetricSet } from '../metrics/index.ts'
import { createLogger } from './log.ts'

const slow: ServedPlatform['aws'] = async (_request, response) => {
  response.write('begun ')
  setTimeout(() => response.end('finished'), 500)
  await new Promise((resolve) => response.once('close', resolve))
}

const platform: ServedPlatform = {
  distribution: slow,
  layerDownload: slow,
  aws: slow,
  ready: async () => ({ ok: true }),
  metrics: new MetricSet(),
  metricsText: async () => '',
  rootCredential: { accessKeyId: 'AKIAEXAMPLE', source: 'environment', createdNow: false },
  stop: async () => undefined,
}

try {
  const config = loadConfig()
  const logger = createLogger(config, process.stdout, 'by-turn')
  process.once('exit', () => logger.flush())
  process.exitCode = await runServer(config, { logger, buildPlatform: async (_config, { onFatal }) => {
      process.once('SIGUSR2', () => onFatal(new Error('the disk is gone')))
      return platform
    } })
} catch (error) {
  const failure = describeFailure(error)
  process.stderr.write(`stowage: ${failure.text}\n`)
  process.exitCode = failure.exitCode
}
