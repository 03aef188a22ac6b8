import { InvalidArgumentError, type Command } from 'commander'
import type { CommandIo } from './command-io.ts'
import { addAwsOptions, awsHelp, type AwsWords } from './iam-command.ts'
import type { TrashTarget } from './trash.ts'

interface TrashWords extends AwsWords {
  readonly json?: boolean
}

/** Adds `stowage trash`. */
export function addTrash(program: Command, io: CommandIo, onExit: (exitCode: number) => void): void {
  const trash = program
    .command('trash')
    .description('What was deleted and can be brought back: images, repositories, tags that were moved or removed.')
    .addHelpText(
      'after',
      `
What one request or one run of a policy deleted is one batch, which comes back together. STOWAGE_TRASH_RETENTION_DAYS says
for how long. A tag that was moved or removed while its image stayed is undone by the number of that change.
docs/operations/trash.md tells what comes back, and what cannot.
${awsHelp}

Examples:
  $ stowage trash list                                       everything, the newest first
  $ stowage trash list team/app
  $ stowage trash show team/app 1f0c…                        the images of a batch
  $ stowage trash restore team/app --batch 1f0c…             all of it; a deleted repository too
  $ stowage trash restore team/app:v1                        the image that went last with this tag
  $ stowage trash restore team/app@sha256:0123…
  $ stowage trash purge team/app 1f0c… --apply               give its space back now
  $ stowage trash changes team/app --tag latest              what this tag named, and who moved it
  $ stowage trash undo team/app 4711                         move it back`,
    )
  const add = (name: string, description: string): Command => addAwsOptions(trash.command(name).description(description).option('--json', 'as JSON'))

  add('list', 'List what is in the trash.')
    .argument('[repository]', 'only what was deleted from it, and itself')
    .action(async (repository: string | undefined, words: TrashWords) => {
      const { listTrash } = await import('./trash.ts')
      onExit(await listTrash(io, { repository, ...optionsOf(words) }))
    })
  add('show', 'Show the images of a batch, and what did it.')
    .argument('<repository>', 'its name')
    .argument('<batch>', 'as `stowage trash list` shows it')
    .action(async (repository: string, batch: string, words: TrashWords) => {
      const { showTrash } = await import('./trash.ts')
      onExit(await showTrash(io, { repository, batch, ...optionsOf(words) }))
    })
  add('restore', 'Bring a batch back, or an image with what went with it.')
    .argument('<what>', '<repository>:<tag>, <repository>@<digest>, or with --batch <repository>', parseTarget)
    .option('--batch <id>', 'the batch, as `stowage trash list` shows it')
    .action(async (target: TrashTarget, words: TrashWords & { readonly batch?: string }, command: Command) => {
      if ((words.batch === undefined) === (target.tag === undefined && target.digest === undefined)) {
        command.error('error: name an image, as <repository>:<tag> or <repository>@<digest>, or a <repository> with --batch')
      }
      const { restoreTrash } = await import('./trash.ts')
      onExit(await restoreTrash(io, { target, batch: words.batch, ...optionsOf(words) }))
    })
  add('purge', 'Show what a batch has; with --apply, end its time in the trash: the next collection takes it away for good.')
    .argument('<repository>', 'its name')
    .argument('<batch>', 'as `stowage trash list` shows it')
    .option('--apply', 'do it')
    .action(async (repository: string, batch: string, words: TrashWords & { readonly apply?: boolean }) => {
      const { purgeTrash } = await import('./trash.ts')
      onExit(await purgeTrash(io, { repository, batch, apply: words.apply === true, ...optionsOf(words) }))
    })
  add('changes', 'List changes of tags whose images stayed, the newest first.')
    .argument('<repository>', 'its name')
    .option('--tag <tag>', 'only of this one')
    .option('--limit <count>', 'at most so many', parseCount, 100)
    .action(async (repository: string, words: TrashWords & { readonly tag?: string; readonly limit: number }) => {
      const { listTagChanges } = await import('./trash.ts')
      onExit(await listTagChanges(io, { repository, tag: words.tag, limit: words.limit, ...optionsOf(words) }))
    })
  add('undo', 'Undo the change of a tag, unless it was changed again since.')
    .argument('<repository>', 'its name')
    .argument('<change>', 'its number, as `stowage trash changes` shows it', parseCount)
    .action(async (repository: string, changeId: number, words: TrashWords) => {
      const { undoTagChange } = await import('./trash.ts')
      onExit(await undoTagChange(io, { repository, changeId, ...optionsOf(words) }))
    })
}

function optionsOf({ json, endpointUrl, region, profile }: TrashWords) {
  return { json: json === true, endpointUrl, region, profile }
}

function parseTarget(text: string): TrashTarget {
  const [, repository, tag, digest] = /^([^:@]+)(?::([^:@]+)|@([^@]+))?$/u.exec(text) ?? []
  if (repository === undefined) throw new InvalidArgumentError('Write <repository>:<tag>, <repository>@<digest> or <repository>, without the host.')
  return { repository, tag, digest }
}

function parseCount(text: string): number {
  if (!/^[1-9]\d{0,14}$/u.test(text)) throw new InvalidArgumentError('Write a whole number from 1 on.')
  return Number(text)
}
