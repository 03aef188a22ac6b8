import { Command, CommanderError } from 'commander'
import { exitCodes } from '../config/exit-codes.ts'
import { addAccount } from './account-command.ts'
import { addRetention } from './retention-command.ts'
import { addBackup } from './backup-command.ts'
import { ownVersion } from '../internal/own-version.ts'
import type { CommandIo } from './command-io.ts'
import { addEvents } from './events-command.ts'
import { addErase } from './erase-command.ts'
import { addGc } from './gc-command.ts'
import { addTop } from './top-command.ts'
import { addQuota } from './quota-command.ts'
import { addStorage } from './storage-command.ts'
import { addHold } from './hold-command.ts'
import { addIam } from './iam-command.ts'
import { addLifecycle } from './lifecycle-command.ts'
import { addImage } from './image-command.ts'
import { addProtect } from './protect-command.ts'
import { addTrash } from './trash-command.ts'
import { addUsage } from './usage-command.ts'
import { addVerify } from './verify-command.ts'
import { addAudit } from './audit-command.ts'

/** The examples are written to it; the same on every terminal, and in the tests. */
const helpWidth = 120

/**
 * The `stowage` command. Each command's code is loaded when it runs, so that help and short commands start fast.
 * An action answers with the process's exit code through `onExit`.
 */
export function createProgram(io: CommandIo, onExit: (exitCode: number) => void): Command {
  const program = new Command('stowage')
    .description('A container registry that speaks OCI Distribution and the Amazon ECR API.')
    .version(ownVersion())
    .showSuggestionAfterError()
    .showHelpAfterError('(add --help for the options and examples)')
    .configureOutput({
      writeOut: (text) => io.stdout.write(text),
      writeErr: (text) => io.stderr.write(text),
      getOutHelpWidth: () => helpWidth,
      getErrHelpWidth: () => helpWidth,
    })
    .exitOverride()
    .addHelpText(
      'after',
      `
Settings come from the environment, for every command alike: STOWAGE_DATA_DIR says where the data is (./data),
STOWAGE_LISTEN where to listen (127.0.0.1:5050). All of them are in docs/reference/config.md.

Examples:
  $ stowage serve                               start with SQLite and files in ./data
  $ eval "$(stowage credentials --export)"      give this shell the server's access key
  $ stowage trust                               how docker, aws and curl learn to trust its certificate`,
    )

  addServe(program, io, onExit)
  addCredentials(program, io, onExit)
  addMigrate(program, io, onExit)
  addVerify(program, io, onExit)
  addAudit(program, io, onExit)
  addBackup(program, io, onExit)
  addTrust(program, io, onExit)
  addKeyring(program, io, onExit)
  addIam(program, io, onExit)
  addAccount(program, io, onExit)
  addRetention(program, io, onExit)
  addEvents(program, io, onExit)
  addLifecycle(program, io, onExit)
  addImage(program, io, onExit)
  addProtect(program, io, onExit)
  addUsage(program, io, onExit)
  addHold(program, io, onExit)
  addErase(program, io, onExit)
  addGc(program, io, onExit)
  addStorage(program, io, onExit)
  addQuota(program, io, onExit)
  addTop(program, io, onExit)
  addTrash(program, io, onExit)
  return program
}

function addServe(program: Command, io: CommandIo, onExit: (exitCode: number) => void): void {
  program
    .command('serve')
    .description('Serve the registry until SIGTERM or SIGINT.')
    .option('-q, --quiet', 'print no start-up text, only the log')
    .option('--show-secret', 'print the start-up text also where there is no terminal; on one, with the generated secret access key')
    .addHelpText(
      'after',
      `
The first signal drains: no new requests, those in flight end or are cut off after STOWAGE_DRAIN_TIMEOUT_MS.
The second ends the process at once.

Examples:
  $ stowage serve
  $ STOWAGE_LISTEN=127.0.0.1:6060 STOWAGE_DATA_DIR=/srv/stowage stowage serve
  $ STOWAGE_LISTEN=0.0.0.0:443 STOWAGE_TLS_CERT=/etc/stowage/fullchain.pem STOWAGE_TLS_KEY=/etc/stowage/key.pem stowage serve
  $ STOWAGE_DATABASE_URL=postgres://stowage@db/stowage STOWAGE_KEYRING=/etc/stowage/keyring.json stowage serve

Exit codes:
${exitCodeLines()}`,
    )
    .action(async (options: { quiet?: boolean; showSecret?: boolean }) => {
      const { serve } = await import('./serve.ts')
      onExit(await serve(io, { quiet: options.quiet === true, showSecret: options.showSecret === true }))
    })
}

function addCredentials(program: Command, io: CommandIo, onExit: (exitCode: number) => void): void {
  const credentials = program
    .command('credentials')
    .description("Show the root access key of this machine's server.")
    .option('--export', 'as a line for the shell to evaluate')
    .option('--json', 'as JSON')
    .addHelpText(
      'after',
      `
The key is the configured one (STOWAGE_ROOT_ACCESS_KEY_ID), else the one that the server made at its first start and
keeps in the data folder.

Examples:
  $ eval "$(stowage credentials --export)"
  $ stowage credentials --json | jq -r .secretAccessKey
  $ docker compose exec stowage node src/cli.ts credentials --export`,
    )
    .action(async (options: { export?: boolean; json?: boolean }) => {
      const { showCredentials } = await import('./credentials.ts')
      onExit(await showCredentials(io, formatOf(options)))
    })
  credentials
    .command('show', { isDefault: false })
    .description('The same as `stowage credentials`.')
    .option('--export', 'as a line for the shell to evaluate')
    .option('--json', 'as JSON')
    .action(async (_options: unknown, command: Command) => {
      const { showCredentials } = await import('./credentials.ts')
      onExit(await showCredentials(io, formatOf(command.optsWithGlobals())))
    })
  credentials
    .command('rotate')
    .description('Replace the generated access key by a new one, from the next start on.')
    .addHelpText(
      'after',
      `
A server that runs keeps the old key until it is restarted. A key that you configured is changed where you set it.

Example:
  $ stowage credentials rotate && systemctl restart stowage`,
    )
    .action(async () => {
      const { rotateCredentials } = await import('./credentials.ts')
      onExit(await rotateCredentials(io))
    })
}

function formatOf(options: { export?: boolean; json?: boolean }): 'text' | 'export' | 'json' {
  if (options.json === true) return 'json'
  return options.export === true ? 'export' : 'text'
}

function addMigrate(program: Command, io: CommandIo, onExit: (exitCode: number) => void): void {
  program
    .command('migrate')
    .description('Bring the database to the form that this version needs; `serve` does the same at its start.')
    .option('--check', 'change nothing, not even a file; say what would be done, and exit with code 6 if anything would')
    .option('--json', 'as JSON')
    .addHelpText(
      'after',
      `
All migrations run in one transaction: killed half-way, the database is as it was before. One that a newer Stowage has
written is refused, by this and every other command, with exit code 10 and before anything is touched.
docs/operations/upgrade.md says how to upgrade, and how to go back.

Examples:
  $ stowage migrate --check
  $ stowage migrate --check --json | jq -r '.pending[].name'
  $ STOWAGE_DATABASE_URL=postgres://stowage@db/stowage stowage migrate`,
    )
    .action(async (options: { check?: boolean; json?: boolean }) => {
      const { migrate } = await import('./migrate.ts')
      onExit(await migrate(io, { check: options.check === true, json: options.json === true }))
    })
}

function addTrust(program: Command, io: CommandIo, onExit: (exitCode: number) => void): void {
  program
    .command('trust')
    .description("Show how clients learn to trust this server's certificate, or make docker trust it.")
    .option('--host <host:port...>', 'the registry host as it stands in image names (default: from the settings)')
    .option('--ca <file>', "the authority's certificate (default: the one in the data folder)")
    .option('--install', 'copy it to where docker and podman look for it')
    .option('--certs-dir <folder>', "with --install: docker's certificate folder", '/etc/docker/certs.d')
    .addHelpText(
      'after',
      `
Examples:
  $ stowage trust                                                      print the commands for every client
  $ sudo stowage trust --install --host registry.example.com:5050      do docker's part
  $ stowage trust --install --certs-dir ~/.config/docker/certs.d       for rootless docker
  $ export AWS_CA_BUNDLE=$PWD/data/tls/ca.crt                          for the aws command`,
    )
    .action(async (options: { host?: string[]; ca?: string; install?: boolean; certsDir: string }) => {
      const { trust } = await import('./trust.ts')
      const { host = [], ca, install, certsDir } = options
      onExit(await trust(io, { hosts: host, caFile: ca, install: install === true, certsDir }))
    })
}

function addKeyring(program: Command, io: CommandIo, onExit: (exitCode: number) => void): void {
  const keyring = program
    .command('keyring')
    .description('The keys that seal tokens and stored secrets.')
    .addHelpText(
      'after',
      `
Examples:
  $ (umask 077; stowage keyring create > keyring.json)      for servers that share a database
  $ stowage keyring rotate                                  seal with a new key from now on`,
    )
  keyring
    .command('create')
    .description('Print a new keyring, to be kept like a password. Changes nothing.')
    .action(async () => {
      const { createKeyring } = await import('./keyring.ts')
      onExit(await createKeyring(io))
    })
  keyring
    .command('rotate')
    .description('Add a key and seal with it from now on; the older ones still open what they sealed.')
    .action(async () => {
      const { rotateKeyring } = await import('./keyring.ts')
      onExit(await rotateKeyring(io))
    })
}

function exitCodeLines(): string {
  return Object.values(exitCodes)
    .map(({ code, meaning }) => `  ${String(code).padStart(3)}  ${meaning.replaceAll('`', '')}`)
    .join('\n')
}

/**
 * Runs one command line (without the names of Node and the script) and answers its exit code.
 * What goes wrong is told on standard error, for people.
 */
export async function runCommand(words: readonly string[], io: CommandIo): Promise<number> {
  let exitCode: number = exitCodes.ok.code
  const program = createProgram(io, (code) => {
    exitCode = code
  })
  inheritOverride(program)
  try {
    await program.parseAsync([...words], { from: 'user' })
    return exitCode
  } catch (error) {
    // The parser has written its own text by now.
    if (error instanceof CommanderError) return error.exitCode === 0 ? exitCodes.ok.code : exitCodes.usage.code
    const { describeFailure } = await import('./failures.ts')
    const failure = describeFailure(error)
    io.stderr.write(`stowage: ${failure.text}\n`)
    return failure.exitCode
  }
}

function inheritOverride(command: Command): void {
  for (const child of command.commands) {
    child.copyInheritedSettings(command)
    inheritOverride(child)
  }
}
