import { exitCodes, loadConfig } from '../config/index.ts'
import { newKeyring, serializeKeyring } from '../iam/keyring-document.ts'
import { openKeyring } from '../iam/keyring.ts'
import { systemClock } from '../internal/clock.ts'
import { systemIds } from '../internal/ids.ts'
import type { CommandIo } from './command-io.ts'

/** Prints a new keyring on standard output. */
export async function createKeyring(io: CommandIo): Promise<number> {
  io.stdout.write(`${serializeKeyring(newKeyring(systemClock, systemIds)).trimEnd()}\n`)
  return exitCodes.ok.code
}

/** Adds a key to the keyring that the settings name, and makes it the one to seal with. */
export async function rotateKeyring(io: CommandIo): Promise<number> {
  const config = loadConfig()
  const { dataDir, keyring: setting } = config
  const { refuseNewerInstallation } = await import('../platform.ts')
  await refuseNewerInstallation(config)
  const keyring = await openKeyring({
    dataDir,
    keyring: setting,
    requireExisting: true,
    clock: systemClock,
    ids: systemIds,
  })
  const keyId = await keyring.rotate()
  io.stdout.write(`Key ${keyId} is primary now: a running server seals with it after a restart. What older keys sealed stays readable.\n`)
  return exitCodes.ok.code
}
