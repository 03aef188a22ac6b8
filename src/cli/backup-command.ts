import { InvalidArgumentError, type Command } from 'commander'
import { parseByteRate } from '../config/byte-rate.ts'
import type { CommandIo } from './command-io.ts'

interface BackupWords {
  readonly list?: boolean
  readonly keep?: number
  readonly includeKeyring?: boolean
  readonly withAudit?: boolean
  readonly rate?: number
  readonly json?: boolean
  readonly quiet?: boolean
}

interface RestoreWords {
  readonly point?: string
  readonly replace?: boolean
  /** Commander's form of `--without-keyring`. */
  readonly withoutKeyring?: boolean
  readonly rate?: number
  readonly json?: boolean
  readonly quiet?: boolean
}

/** Adds `stowage backup` and `stowage restore`. */
export function addBackup(program: Command, io: CommandIo, onExit: (exitCode: number) => void): void {
  program
    .command('backup')
    .description('Back up metadata and blobs, while the server runs, into a folder that holds many points in time.')
    .argument('<folder>', 'where the backups are kept, best on another disk; made if it is not there')
    .option('--list', 'make no backup; show the points that the folder holds')
    .option('--keep <count>', 'afterwards remove all but this many newest points, with the blobs only they need', parseCount)
    .option('--include-keyring', 'put the keyring and the root access key into the backup too')
    .option('--with-audit', 'put the records of the audit trail into the backup too; without it only where the trail ends')
    .option('--rate <rate>', 'copy blobs no faster than this, such as 50MB/s (default: as fast as it goes)', parseRate)
    .option('--json', 'print the outcome as a JSON object')
    .option('-q, --quiet', 'show no progress on standard error')
    .addHelpText(
      'after',
      `
Run it as the server's user, with the server's settings. Each run adds a point and copies only blobs that the folder does
not have yet. A run that is stopped or killed leaves no point; the next one goes on with what was copied.

Unless --include-keyring is given, the backup cannot open the secrets in it: keep the keyring (STOWAGE_KEYRING, or
keys/keyring.json in the data folder) somewhere else, like a password.

Exit codes: 0 done, 8 done but some blobs are damaged or missing at the source, 130 (SIGTERM: 143) stopped, 1 failed.

Examples:
  $ stowage backup /mnt/backup/stowage --keep 30
  $ stowage backup /mnt/backup/stowage --rate 50MB/s --json
  $ stowage backup /mnt/backup/stowage --list`,
    )
    .action(async (folder: string, words: BackupWords) => {
      const { backupCommand, listCommand } = await import('./backup.ts')
      if (words.list === true) {
        onExit(await listCommand(io, { folder, json: words.json === true }))
        return
      }
      const { keep, rate: bytesPerSecond } = words
      const { includeKeyring = false, withAudit = false, json = false, quiet = false } = words
      onExit(await backupCommand(io, { folder, keep, bytesPerSecond, includeKeyring, withAudit, json, quiet }))
    })
  program
    .command('restore')
    .description('Bring back one point of a backup, into an empty data folder and database.')
    .argument('<folder>', 'where the backups are kept')
    .option('--point <id>', 'the point to bring back (default: the latest)')
    .option('--replace', 'where there is an installation already: put its database aside, and say what it had that the point has not')
    .option('--without-keyring', 'leave out access keys whose keyring is lost')
    .option('--rate <rate>', 'copy blobs no faster than this, such as 50MB/s (default: as fast as it goes)', parseRate)
    .option('--json', 'print the outcome as a JSON object')
    .option('-q, --quiet', 'show no progress on standard error')
    .addHelpText(
      'after',
      `
Stop the server first. The settings say where to: STOWAGE_DATA_DIR, and STOWAGE_DATABASE_URL for PostgreSQL; a backup of
either kind of database can be restored into either. Until the restore has ended, the data folder is not served; one
that is stopped or killed is run again and goes on. It ends with a verification.

Exit codes: 0 done, 8 done but something is damaged or missing, 2 refused with nothing changed, 130 (SIGTERM: 143)
stopped, 1 failed.

Examples:
  $ STOWAGE_DATA_DIR=/srv/stowage stowage restore /mnt/backup/stowage
  $ stowage restore /mnt/backup/stowage --point 20260101T020000000Z-3f0f4b --replace
  $ STOWAGE_DATABASE_URL=postgres://stowage@db/stowage STOWAGE_KEYRING=/etc/stowage/keyring.json stowage restore /mnt/backup`,
    )
    .action(async (folder: string, words: RestoreWords) => {
      const { restoreCommand } = await import('./restore.ts')
      const { point, rate: bytesPerSecond } = words
      const { replace = false, withoutKeyring: withoutKeys = false, json = false, quiet = false } = words
      onExit(await restoreCommand(io, { folder, point, replace, withoutKeys, bytesPerSecond, json, quiet }))
    })
}

function parseRate(text: string): number {
  const bytesPerSecond = parseByteRate(text)
  if (bytesPerSecond === undefined) throw new InvalidArgumentError('Write a rate such as 50MB/s, 8MiB/s or 500KB/s.')
  return bytesPerSecond
}

function parseCount(text: string): number {
  if (!/^[1-9]\d{0,4}$/u.test(text)) throw new InvalidArgumentError('Write a whole number from 1 to 99999.')
  return Number(text)
}
