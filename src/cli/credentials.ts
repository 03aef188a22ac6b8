import {
  createRootCredentialFile,
  exitCodes,
  loadConfig,
  readRootCredentialFile,
  rootCredentialPath,
  type Config,
  type RootCredential,
} from '../config/index.ts'
import { systemClock } from '../internal/clock.ts'
import { systemIds } from '../internal/ids.ts'
import { exportLine } from './command-line.ts'
import type { CommandIo } from './command-io.ts'

/** Prints the root credential: the one place where its secret is shown, and only when asked. */
export async function showCredentials(io: CommandIo, format: 'text' | 'export' | 'json'): Promise<number> {
  const config = loadConfig()
  const credential = await currentCredential(config)
  if (credential === undefined) {
    io.stderr.write(
      `stowage: there is no access key in ${rootCredentialPath(config.dataDir)} yet: start the server once (stowage serve), or set STOWAGE_DATA_DIR to its data folder.\n`,
    )
    return exitCodes.failed.code
  }
  io.stdout.write(formatCredential(credential, format))
  return exitCodes.ok.code
}

/** Replaces the generated root credential; refuses where the credential is configured. */
export async function rotateCredentials(io: CommandIo): Promise<number> {
  const config = loadConfig()
  if (config.rootCredential !== undefined) {
    io.stderr.write(
      'stowage: the root access key is configured: change STOWAGE_ROOT_ACCESS_KEY_ID and STOWAGE_ROOT_SECRET_ACCESS_KEY where they are set.\n',
    )
    return exitCodes.usage.code
  }
  const { refuseNewerInstallation } = await import('../platform.ts')
  await refuseNewerInstallation(config)
  const { credential } = await createRootCredentialFile(config.dataDir, { ids: systemIds, clock: systemClock, replace: true })
  io.stdout.write(`The new access key is ${credential.accessKeyId}; its secret is in ${credential.file}.\n`)
  io.stdout.write('A running server keeps the old one until it is restarted.\n')
  return exitCodes.ok.code
}

async function currentCredential(config: Config): Promise<RootCredential | undefined> {
  return config.rootCredential ?? (await readRootCredentialFile(config.dataDir))
}

function formatCredential({ accessKeyId, secretAccessKey }: RootCredential, format: 'text' | 'export' | 'json'): string {
  switch (format) {
    case 'json':
      return `${JSON.stringify({ accessKeyId, secretAccessKey })}\n`
    case 'export':
      return `${exportLine({ AWS_ACCESS_KEY_ID: accessKeyId, AWS_SECRET_ACCESS_KEY: secretAccessKey })}\n`
    case 'text':
      return `access key id      ${accessKeyId}\nsecret access key  ${secretAccessKey}\n`
  }
}
