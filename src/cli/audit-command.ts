import { InvalidArgumentError, type Command } from 'commander'
import type { CommandIo } from './command-io.ts'
import { parseGivenTime } from './given-time.ts'
import { addAwsOptions, awsHelp, type AwsWords } from './iam-command.ts'
import { parseImageName } from './image-command.ts'
import type { ImageName } from './image.ts'

/** Adds `stowage audit`. */
export function addAudit(program: Command, io: CommandIo, onExit: (exitCode: number) => void): void {
  const audit = program
    .command('audit')
    .description('The audit trail: who did what, what a tag was, and whether every record is the one that was sealed.')
    .addHelpText(
      'after',
      `
list, show and tag-history ask a server, as aws cloudtrail lookup-events does. The others run as the server's user and with its
settings, beside a running server or without one. Whoever can write to the store could also compute a whole new chain, or cut
off its end: keep a checkpoint elsewhere from time to time, and verify with it.

Exit codes: 0 all is well, 8 something was found, 1 it could not be checked.
${awsHelp}

Examples:
  $ stowage audit list --attribute Username=ci --since 2027-03-01
  $ stowage audit tag-history team/app:v1.0.0 --at 2027-03-03T09:00:00Z
  $ stowage audit checkpoint > /mnt/elsewhere/audit-$(date +%F).json
  $ stowage audit verify --checkpoint /mnt/elsewhere/audit-2027-03-01.json`,
    )
  addLookUps(audit, io, onExit)
  audit
    .command('verify')
    .description('Walk the chain of all records, and compare each with its hash and with what look-ups find it by.')
    .option('--checkpoint <file>', 'also compare with a checkpoint that was kept')
    .option('--json', 'as JSON')
    .action(async (words: { readonly checkpoint?: string; readonly json?: boolean }) => {
      const { verifyAudit } = await import('./audit.ts')
      onExit(await verifyAudit(io, { checkpointFile: words.checkpoint, json: words.json === true }))
    })
  audit
    .command('export')
    .description("Write records of a time as files in CloudTrail's layout, AWSLogs/<account>/CloudTrail/<region>/….")
    .requiredOption('--out <folder>', 'below which they are written')
    .option('--from <time>', 'the first (default: the oldest that there is)', parseGivenTime)
    .option('--to <time>', 'only before this time (default: all)', parseGivenTime)
    .option('--json', 'as JSON')
    .action(async (words: { readonly out: string; readonly from?: Date; readonly to?: Date; readonly json?: boolean }) => {
      const { exportTrail } = await import('./audit.ts')
      onExit(await exportTrail(io, { folder: words.out, from: words.from, to: words.to, json: words.json === true }))
    })
  audit
    .command('checkpoint')
    .description('Print where the chain ends now, signed by the keyring, as JSON.')
    .action(async () => {
      const { printCheckpoint } = await import('./audit.ts')
      onExit(await printCheckpoint(io))
    })
}

interface LookUpWords extends AwsWords {
  readonly json?: boolean
  readonly attribute?: readonly [name: string, value: string]
  readonly since?: Date
  readonly until?: Date
  readonly limit?: number
  readonly at?: Date
}

function addLookUps(audit: Command, io: CommandIo, onExit: (exitCode: number) => void): void {
  const add = (name: string, description: string): Command => addAwsOptions(audit.command(name).description(description)).option('--json', 'as JSON')
  add('list', 'List records of the registry, the newest first.')
    .option('--attribute <name=value>', 'EventId, EventName, ReadOnly, Username, ResourceType, ResourceName, EventSource or AccessKeyId', parseAttribute)
    .option('--since <time>', 'only from this time on', parseGivenTime)
    .option('--until <time>', 'only to this time', parseGivenTime)
    .option('--limit <count>', 'so many at most (default: 100)', parseCount)
    .action(async (words: LookUpWords) => {
      const { listRecords } = await import('./audit-lookup.ts')
      onExit(await listRecords(io, { attribute: words.attribute, since: words.since, until: words.until, limit: words.limit ?? 100, ...lookUpOptions(words) }))
    })
  add('show', "Show one record, in CloudTrail's form.")
    .argument('<event-id>', 'its id, which is also that of its request')
    .action(async (eventId: string, words: LookUpWords) => {
      const { showRecord } = await import('./audit-lookup.ts')
      onExit(await showRecord(io, { eventId, ...lookUpOptions(words) }))
    })
  add('tag-history', 'Show what a tag named, since when, and who moved it.')
    .argument('<image>', '<repository>:<tag>', parseTagName)
    .option('--at <time>', 'what it named at this time; a date alone is its beginning, in UTC', parseGivenTime)
    .action(async ({ repository, tag }: ImageName, words: LookUpWords) => {
      const { showTagHistory } = await import('./audit-lookup.ts')
      onExit(await showTagHistory(io, { repository, tag: tag!, at: words.at, ...lookUpOptions(words) }))
    })
}

function lookUpOptions({ json, endpointUrl, region, profile }: LookUpWords) {
  return { json: json === true, endpointUrl, region, profile }
}

function parseAttribute(text: string): readonly [name: string, value: string] {
  const at = text.indexOf('=')
  if (at < 1 || at === text.length - 1) throw new InvalidArgumentError('Write a name and a value, such as Username=ci.')
  return [text.slice(0, at), text.slice(at + 1)]
}

const mostListed = 10_000

function parseCount(text: string): number {
  const count = Number(text)
  if (!Number.isSafeInteger(count) || count < 1 || count > mostListed) throw new InvalidArgumentError(`Write a number from 1 to ${mostListed}.`)
  return count
}

function parseTagName(text: string): ImageName {
  const name = parseImageName(text)
  if (name.tag === undefined) throw new InvalidArgumentError('Write <repository>:<tag>, without the host.')
  return name
}
