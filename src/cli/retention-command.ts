import { Option, type Command } from 'commander'
import type { CommandIo } from './command-io.ts'
import { addAwsOptions, awsHelp, type AwsWords } from './iam-command.ts'

interface RetentionWords extends AwsWords {
  readonly registryId?: string
  readonly json?: boolean
}

interface PlaceWords extends RetentionWords {
  readonly repository?: string
  readonly prefix?: string
  readonly wholeRegistry?: boolean
}

/** Adds `stowage retention`. */
export function addRetention(program: Command, io: CommandIo, onExit: (exitCode: number) => void): void {
  const retention = program
    .command('retention')
    .description('Retention policies: rules that delete images and rules that keep them, where keeping always wins.')
    .addHelpText(
      'after',
      `
A policy holds for a repository (--repository), for every repository whose name begins with a prefix and a slash (--prefix),
or for all (--whole-registry), those included that are made later. A repository is under all of them at once, beside its
lifecycle policy of the ECR API.
docs/operations/retention-policies.md tells what rules can say.
${awsHelp}

Examples:
  $ stowage retention put --prefix team-a policy.json
  $ stowage retention put --whole-registry policy.json
  $ stowage retention versions --prefix team-a
  $ stowage retention list`,
    )
  const add = (name: string, description: string): Command =>
    addAwsOptions(retention.command(name).description(description))
      .option('--registry-id <id>', "the account whose registry is meant (default: the caller's)")
      .option('--json', 'as JSON')
  const addAtPlace = (name: string, description: string): Command =>
    add(name, description)
      .addOption(new Option('--repository <name>', 'a repository').conflicts(['prefix', 'wholeRegistry']))
      .addOption(new Option('--prefix <prefix>', 'all repositories under a prefix').conflicts('wholeRegistry'))
      .option('--whole-registry', 'all repositories')

  addAtPlace('put', 'Set the policy of a place, which is then acted by at the next evaluation.')
    .argument('<file>', 'the policy, as JSON; - reads it from standard input')
    .action(async (file: string, words: PlaceWords) => {
      const { putRetention } = await import('./retention.ts')
      onExit(await putRetention(io, { file, place: words, ...optionsOf(words) }))
    })
  addAtPlace('get', 'Show the policy of a place.').action(async (words: PlaceWords) => {
    const { getRetention } = await import('./retention.ts')
    onExit(await getRetention(io, { place: words, ...optionsOf(words) }))
  })
  addAtPlace('delete', 'Take the policy of a place away. What it kept may then go by other policies.').action(async (words: PlaceWords) => {
    const { deleteRetention } = await import('./retention.ts')
    onExit(await deleteRetention(io, { place: words, ...optionsOf(words) }))
  })
  addAtPlace('versions', 'List what the policy of a place was, and who changed it.')
    .option('--lifecycle', "versions of the repository's lifecycle policy of the ECR API")
    .action(async (words: PlaceWords & { readonly lifecycle?: boolean }) => {
      const { listRetentionVersions } = await import('./retention.ts')
      onExit(await listRetentionVersions(io, { place: words, isLifecycle: words.lifecycle === true, ...optionsOf(words) }))
    })
  add('list', 'List all retention policies of a registry.').action(async (words: RetentionWords) => {
    const { listRetention } = await import('./retention.ts')
    onExit(await listRetention(io, optionsOf(words)))
  })
}

function optionsOf({ json, endpointUrl, region, profile, registryId }: RetentionWords) {
  return { json: json === true, endpointUrl, region, profile, registryId }
}
