import { InvalidArgumentError, type Command } from 'commander'
import type { CommandIo } from './command-io.ts'
import { parseGivenTime } from './given-time.ts'
import { addAwsOptions, awsHelp, type AwsWords } from './iam-command.ts'

interface GcWords extends AwsWords {
  readonly json?: boolean
}

/** Adds `stowage gc`. */
export function addGc(program: Command, io: CommandIo, onExit: (exitCode: number) => void): void {
  const gc = program
    .command('gc')
    .description('Garbage collection: what waits, what was given back, and why something is still there.')
    .addHelpText(
      'after',
      `
It runs by itself; docs/operations/collection.md tells how. These commands are for principals of the installation's own
account.
${awsHelp}

Examples:
  $ stowage gc status
  $ stowage gc run
  $ stowage gc pause --reason "the disk is being moved" --until 2027-01-31T06:00:00Z
  $ stowage gc resume
  $ stowage gc rate 50
  $ stowage gc rate auto
  $ stowage gc explain sha256:0123…
  $ stowage gc simulate --days 7
  $ stowage gc reconcile
  $ stowage gc reconcile --repair`,
    )
  const add = (name: string, description: string): Command => addAwsOptions(gc.command(name).description(description).option('--json', 'as JSON'))

  add('status', 'Show what waits for collection, what was given back, and whether something stops it.').action(async (words: GcWords) => {
    const { showStatus } = await import('./gc/status.ts')
    onExit(await showStatus(io, optionsOf(words)))
  })
  add('run', 'Do what is due now, and wait for it.').action(async (words: GcWords) => {
    const { runCollection } = await import('./gc/status.ts')
    onExit(await runCollection(io, optionsOf(words)))
  })
  add('pause', 'Stop collection, of all servers of the installation.')
    .requiredOption('--reason <text>', 'why')
    .option('--until <time>', 'when it goes on by itself (default: never), such as 2027-01-31 or 2027-01-31T12:00:00Z', parseGivenTime)
    .action(async (words: GcWords & { readonly reason: string; readonly until?: Date }) => {
      const { pauseCollection } = await import('./gc/pause.ts')
      onExit(await pauseCollection(io, { reason: words.reason, until: words.until, ...optionsOf(words) }))
    })
  add('resume', 'Let collection go on.').action(async (words: GcWords) => {
    const { resumeCollection } = await import('./gc/pause.ts')
    onExit(await resumeCollection(io, optionsOf(words)))
  })
  add('rate', 'Set how many reviews each server does in a second, or let it find that itself.')
    .argument('<number>', 'a number, whether or not clients are served meanwhile; or auto', parseRate)
    .action(async (rate: { readonly reviewsPerSecond: number | undefined }, words: GcWords) => {
      const { setRate } = await import('./gc/rate.ts')
      onExit(await setRate(io, { ...rate, ...optionsOf(words) }))
    })
  add('explain', 'Show why the bytes of a blob are there, or when they go.')
    .argument('<digest>', 'of a layer or a config')
    .action(async (digest: string, words: GcWords) => {
      const { explainBlob } = await import('./gc/explain.ts')
      onExit(await explainBlob(io, { digest, ...optionsOf(words) }))
    })
  add('simulate', 'Show what would be given back now, and within some days. Changes nothing.')
    .option('--days <number>', 'how many', parseDays, 7)
    .action(async (words: GcWords & { readonly days: number }) => {
      const { simulate } = await import('./gc/simulate.ts')
      onExit(await simulate(io, { days: words.days, ...optionsOf(words) }))
    })
  add('reconcile', 'Compare the files of the blob stores with the database, and show what does not agree.')
    .option('--repair', 'delete files older than a day that nothing names, and set blobs aside whose files are gone')
    .option('--last', 'start none, but show the last one, and how far one under way is')
    .action(async (words: GcWords & { readonly repair?: boolean; readonly last?: boolean }) => {
      const { reconcile } = await import('./gc/reconcile.ts')
      onExit(await reconcile(io, { repair: words.repair === true, last: words.last === true, ...optionsOf(words) }))
    })
}

function optionsOf({ json, endpointUrl, region, profile }: GcWords) {
  return { json: json === true, endpointUrl, region, profile }
}

function parseDays(text: string): number {
  const days = /^\d{1,4}$/u.test(text) ? Number(text) : undefined
  if (days === undefined || days > 3650) throw new InvalidArgumentError('Write a number of days up to 3650.')
  return days
}

function parseRate(text: string): { readonly reviewsPerSecond: number | undefined } {
  if (text === 'auto') return { reviewsPerSecond: undefined }
  if (!/^[1-9]\d{0,4}$/u.test(text)) throw new InvalidArgumentError('Write a number of reviews from 1 to 99999, or auto.')
  return { reviewsPerSecond: Number(text) }
}
