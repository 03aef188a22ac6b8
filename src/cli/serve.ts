import { loadConfig, readRootCredentialFile, unknownSettings, type RootCredential } from '../config/index.ts'
import { runServer, type ServerStarted } from '../main.ts'
import { createLogger } from './log.ts'
import { ownVersion } from '../internal/own-version.ts'
import type { CommandIo } from './command-io.ts'
import { startupText } from './startup-text.ts'
import { boundYoungGeneration } from './young-generation.ts'

/**
 * Serves until a signal. The start-up text goes to a terminal, or where it is asked for; elsewhere the log says the
 * same. The secret goes to a terminal only.
 */
export async function serve(io: CommandIo, options: { readonly quiet: boolean; readonly showSecret: boolean }): Promise<number> {
  boundYoungGeneration()
  const config = loadConfig()
  const logger = createLogger(config, io.stdout, 'by-turn')
  process.once('exit', () => logger.flush())
  for (const variable of unknownSettings()) logger.warn({ variable }, 'unknown setting: is it misspelt?')

  const atTerminal = io.stderr.isTTY === true
  const announce = async (started: ServerStarted): Promise<void> => {
    if (options.quiet || !(atTerminal || options.showSecret)) return
    const { accessKeyId, file, createdNow, source } = started.rootCredential
    const shownSecret = options.showSecret && atTerminal ? await keptSecret(config.dataDir, accessKeyId) : undefined
    const text = startupText({
      config,
      url: started.url,
      accessKeyId,
      credentialFile: source === 'environment' ? undefined : file,
      createdNow,
      shownSecret,
      invocation: io.invocation,
      version: ownVersion(),
    })
    io.stderr.write(`\n${text}\n`)
  }
  return runServer(config, { logger, announce })
}

async function keptSecret(dataDir: string, accessKeyId: string): Promise<RootCredential | undefined> {
  const kept = await readRootCredentialFile(dataDir)
  return kept?.accessKeyId === accessKeyId ? kept : undefined
}
