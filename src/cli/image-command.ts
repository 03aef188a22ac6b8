import { InvalidArgumentError, Option, type Command } from 'commander'
import type { CommandIo } from './command-io.ts'
import { parseGivenTime } from './given-time.ts'
import { addAwsOptions, awsHelp, type AwsWords } from './iam-command.ts'
import type { ImageName } from './image.ts'

interface ImageWords extends AwsWords {
  readonly json?: boolean
}

interface RetireWords extends ImageWords {
  readonly state: 'deprecated' | 'blocked'
  readonly reason: string
  readonly replacedBy?: string
  readonly blockAt?: Date
  readonly archiveAt?: Date
  readonly deleteAt?: Date
}

/** Adds `stowage image`. */
export function addImage(program: Command, io: CommandIo, onExit: (exitCode: number) => void): void {
  const image = program
    .command('image')
    .description('Where an image is on its way to its end, the archive, and retirement with notice.')
    .addHelpText(
      'after',
      `
An image is named as <repository>:<tag> or <repository>@<digest>, without the registry's host.
docs/operations/retirement.md and archive.md tell what each state means for whoever pulls.
${awsHelp}

Examples:
  $ stowage image list team/app --state deprecated
  $ stowage image describe team/app:v1
  $ stowage image archive team/app:v1
  $ stowage image retire team/app:v1 --reason "has CVE-2026-1234" --replaced-by team/app:v2 --delete-at 2027-01-31
  $ stowage image retire team/app:v1 --state blocked --reason "has CVE-2026-1234"
  $ stowage image unretire team/app:v1`,
    )
  const add = (name: string, description: string): Command =>
    addAwsOptions(image.command(name).description(description).argument('<image>', '<repository>:<tag> or <repository>@<digest>', parseImageName).option('--json', 'as JSON'))

  const states = ['active', 'deprecated', 'blocked', 'archived', 'activating'] as const
  addAwsOptions(image.command('list').description('Show the images of a repository with their states, and what holds them. What was deleted: stowage trash list.'))
    .argument('<repository>', 'its name, without the host')
    .addOption(new Option('--state <state>', 'only those').choices(states))
    .option('--json', 'as JSON')
    .action(async (repository: string, words: ImageWords & { readonly state?: (typeof states)[number] }) => {
      const { listImages } = await import('./image-list.ts')
      onExit(await listImages(io, { repository, state: words.state, ...optionsOf(words) }))
    })
  add('describe', 'Show the state of an image, living or in the trash, and what holds it.').action(async (name: ImageName, words: ImageWords) => {
    const { describeImage } = await import('./image.ts')
    onExit(await describeImage(io, { image: name, ...optionsOf(words) }))
  })
  const addChange = (name: string, description: string, target: 'ARCHIVE' | 'STANDARD'): void => {
    add(name, description).action(async (image: ImageName, words: ImageWords) => {
      const { changeStorageClass } = await import('./image-archive.ts')
      onExit(await changeStorageClass(io, { image, ...optionsOf(words) }, target))
    })
  }
  addChange('archive', 'Put an image into the archive: it is kept, and cannot be pulled.', 'ARCHIVE')
  addChange('activate', 'Restore an image from the archive.', 'STANDARD')
  add('retire', 'Deprecate or block an image, and say what becomes of it when.')
    .addOption(new Option('--state <state>', 'from now on').choices(['deprecated', 'blocked']).default('deprecated'))
    .requiredOption('--reason <text>', 'why, for whoever pulls it')
    .option('--replaced-by <reference>', 'what to use instead')
    .option('--block-at <time>', 'when it is blocked for new deployments', parseGivenTime)
    .option('--archive-at <time>', 'when it goes to the archive', parseGivenTime)
    .option('--delete-at <time>', 'when it goes to the trash', parseGivenTime)
    .action(async (name: ImageName, words: RetireWords) => {
      const { retireImage } = await import('./image.ts')
      const { state, reason, replacedBy, blockAt, archiveAt, deleteAt } = words
      onExit(await retireImage(io, { image: name, state, reason, replacedBy, blockAt, archiveAt, deleteAt, ...optionsOf(words) }))
    })
  add('unretire', "Take an image's retirement back.").action(async (name: ImageName, words: ImageWords) => {
    const { unretireImage } = await import('./image.ts')
    onExit(await unretireImage(io, { image: name, ...optionsOf(words) }))
  })
}

function optionsOf({ json, endpointUrl, region, profile }: ImageWords) {
  return { json: json === true, endpointUrl, region, profile }
}

/** An argument that names an image. @throws InvalidArgumentError */
export function parseImageName(text: string): ImageName {
  const [, repository, tag, digest] = /^([^:@]+)(?::([^:@]+)|@([^@]+))$/u.exec(text) ?? []
  if (repository === undefined) throw new InvalidArgumentError('Write <repository>:<tag> or <repository>@<digest>, without the host.')
  return { repository, tag, digest }
}
