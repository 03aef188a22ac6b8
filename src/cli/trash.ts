import { exitCodes } from '../config/exit-codes.ts'
import type { AwsOptions } from './aws/settings.ts'
import { connectToStowage, everyPage, isoTime, jsonText, tableText, type StowageCall } from './aws/stowage-calls.ts'
import type { CommandIo } from './command-io.ts'

export interface TrashOptions extends AwsOptions {
  readonly json: boolean
}

/** What to bring back: an image of a repository, or a batch of it. */
export interface TrashTarget {
  readonly repository: string
  readonly tag: string | undefined
  readonly digest: string | undefined
}

/** As the service answers it; times are seconds since the epoch. */
interface Batch {
  readonly trashBatch: string
  readonly repositoryName: string
  readonly kind: 'IMAGES' | 'REPOSITORY'
  readonly cause: Readonly<Record<string, unknown>>
  readonly security: boolean
  readonly imageCount: number
  readonly tagCount: number
  readonly trashedAt: number
  readonly trashedBy: string
  readonly purgeAfter: number
}

interface TrashedImage {
  readonly imageDigest: string
  readonly imageTags: readonly string[]
  readonly imageManifestMediaType: string
  readonly imageSizeInBytes: number
  readonly imagePushedAt: number
  /** Where a rule of a policy deleted it. */
  readonly rule?: string
}

interface Outcome {
  readonly repositoryName: string
  readonly trashBatch: string
  readonly repositoryRestored: boolean
  readonly images: readonly {
    readonly imageDigest: string
    readonly imageTags: readonly string[]
    readonly takenTags: readonly { readonly imageTag: string; readonly imageDigest: string }[]
    readonly deletedTags: readonly string[]
  }[]
  readonly notRestored: readonly { readonly imageDigest: string; readonly reason: string }[]
}

interface TagChange {
  readonly changeId: number
  readonly imageTag: string
  readonly imageDigest?: string
  readonly previousImageDigest?: string
  readonly changedAt: number
  readonly changedBy: string
}

export async function listTrash(io: CommandIo, options: TrashOptions & { readonly repository: string | undefined }): Promise<number> {
  const call = await connectToStowage(options)
  const batches = await everyPage(call, 'ListTrash', { repositoryName: options.repository }, (page) => page['trash'] as Batch[])
  if (options.json) io.stdout.write(jsonText(batches.map(readableBatch)))
  else if (batches.length === 0) io.stdout.write('Nothing is in the trash.\n')
  else io.stdout.write(tableText(['batch', 'deleted', 'until', 'repository', 'what', 'by', 'cause'], batches.map(batchRow)))
  return exitCodes.ok.code
}

export async function showTrash(io: CommandIo, options: TrashOptions & { readonly repository: string; readonly batch: string }): Promise<number> {
  const call = await connectToStowage(options)
  let batch: Batch | undefined
  const input = { repositoryName: options.repository, trashBatch: options.batch }
  const images = await everyPage(call, 'DescribeTrash', input, ({ images: found, nextToken: _, ...page }) => {
    batch = page as unknown as Batch
    return found as TrashedImage[]
  })
  if (batch === undefined) throw new Error('the service answered no batch')
  if (options.json) {
    const readable = images.map(({ imagePushedAt, ...image }) => ({ ...image, imagePushedAt: isoTime(imagePushedAt) }))
    io.stdout.write(jsonText({ ...readableBatch(batch), images: readable }))
    return exitCodes.ok.code
  }
  io.stdout.write(
    `${[
      `batch       ${batch.trashBatch}`,
      `repository  ${batch.repositoryName}${batch.kind === 'REPOSITORY' ? ', deleted as a whole' : ''}`,
      `deleted     ${isoTime(batch.trashedAt)} by ${batch.trashedBy}`,
      `cause       ${causeText(batch.cause)}`,
      `until       ${isoTime(batch.purgeAfter)}`,
      ...images.map(({ imageDigest, imageTags, rule }) => `image       ${imageDigest}${imageTags.length === 0 ? '' : `  ${imageTags.join(', ')}`}${rule === undefined ? '' : `  (${rule})`}`),
    ].join('\n')}\n`,
  )
  return exitCodes.ok.code
}

export async function purgeTrash(io: CommandIo, options: TrashOptions & { readonly repository: string; readonly batch: string; readonly apply: boolean }): Promise<number> {
  const { repository, batch, apply, json } = options
  if (!apply) {
    const exitCode = await showTrash(io, options)
    io.stderr.write('Nothing was changed. Add --apply to purge it; nothing brings it back once collection has come.\n')
    return exitCode
  }
  const call = await connectToStowage(options)
  const purged = await call<object>('PurgeTrash', { repositoryName: repository, trashBatch: batch })
  io.stdout.write(json ? jsonText(purged) : `${batch} goes with the next collection, and no sooner than an hour after it was deleted, unless something holds it (stowage hold list, stowage image describe).\n`)
  return exitCodes.ok.code
}

/** Ends with `findings` where something did not come back as it was; the output says what and why. */
export async function restoreTrash(io: CommandIo, options: TrashOptions & { readonly target: TrashTarget; readonly batch: string | undefined }): Promise<number> {
  const call = await connectToStowage(options)
  const { repository, tag, digest } = options.target
  const what = options.batch === undefined ? { imageId: { imageTag: tag, imageDigest: digest } } : { trashBatch: options.batch }
  const outcome = await call<Outcome>('RestoreTrash', { repositoryName: repository, ...what })
  io.stdout.write(options.json ? jsonText(outcome) : outcomeText(outcome))
  const isWhole = outcome.notRestored.length === 0 && outcome.images.every(({ takenTags, deletedTags }) => takenTags.length + deletedTags.length === 0)
  return isWhole ? exitCodes.ok.code : exitCodes.findings.code
}

export async function listTagChanges(
  io: CommandIo,
  options: TrashOptions & { readonly repository: string; readonly tag: string | undefined; readonly limit: number },
): Promise<number> {
  const call = await connectToStowage(options)
  const changes = await someChanges(call, { repositoryName: options.repository, imageTag: options.tag }, options.limit)
  if (options.json) {
    io.stdout.write(jsonText(changes.map(({ changedAt, ...change }) => ({ ...change, changedAt: isoTime(changedAt) }))))
    return exitCodes.ok.code
  }
  if (changes.length === 0) {
    io.stdout.write(`No change of ${options.tag === undefined ? 'a tag' : `the tag ${options.tag}`} is known.\n`)
    return exitCodes.ok.code
  }
  const rows = changes.map(({ changeId, imageTag, imageDigest, previousImageDigest, changedAt, changedBy }) => [
    String(changeId),
    isoTime(changedAt).slice(0, 16),
    imageTag,
    previousImageDigest ?? 'nothing',
    imageDigest ?? 'nothing',
    changedBy,
  ])
  io.stdout.write(tableText(['change', 'at', 'tag', 'from', 'to', 'by'], rows))
  return exitCodes.ok.code
}

export async function undoTagChange(io: CommandIo, options: TrashOptions & { readonly repository: string; readonly changeId: number }): Promise<number> {
  const call = await connectToStowage(options)
  const { repository: repositoryName, changeId } = options
  const undone = await call<{ imageTag: string; imageDigest?: string }>('UndoTagChange', { repositoryName, changeId })
  const { imageTag, imageDigest } = undone
  io.stdout.write(
    options.json
      ? jsonText(undone)
      : imageDigest === undefined
        ? `${repositoryName}:${imageTag} is gone again: there was no such tag before.\n`
        : `${repositoryName}:${imageTag} names ${imageDigest} again.\n`,
  )
  return exitCodes.ok.code
}

/** The service keeps every change there was: only as many are asked for as are to be shown. */
async function someChanges(call: StowageCall, input: object, limit: number): Promise<TagChange[]> {
  const found: TagChange[] = []
  let nextToken: string | undefined
  do {
    const page = { ...input, nextToken, maxResults: Math.min(limit - found.length, 1000) }
    const answer = await call<{ tagChanges: TagChange[]; nextToken?: string }>('ListTagChanges', page)
    found.push(...answer.tagChanges)
    nextToken = answer.nextToken
  } while (nextToken !== undefined && found.length < limit)
  return found
}

function batchRow({ trashBatch, trashedAt, purgeAfter, repositoryName, kind, imageCount, tagCount, trashedBy, cause }: Batch): string[] {
  const what = kind === 'REPOSITORY' ? 'the repository' : `${imageCount} manifest${imageCount === 1 ? '' : 's'}, ${tagCount} tag${tagCount === 1 ? '' : 's'}`
  return [trashBatch, isoTime(trashedAt).slice(0, 16), isoTime(purgeAfter).slice(0, 16), repositoryName, what, trashedBy, causeText(cause)]
}

/** What did it, in one line. */
function causeText(cause: Readonly<Record<string, unknown>>): string {
  return Object.entries(cause)
    .map(([name, value]) => (name === 'action' ? String(value) : `${name} ${typeof value === 'string' ? value : JSON.stringify(value)}`))
    .join(', ')
}

function outcomeText({ repositoryName, repositoryRestored, images, notRestored }: Outcome): string {
  return `${[
    ...(repositoryRestored ? [`${repositoryName} is back, with everything that was in it.`] : []),
    ...images.flatMap(({ imageDigest, imageTags, takenTags, deletedTags }) => [
      `${repositoryName}@${imageDigest} is back${imageTags.length === 0 ? '' : `: ${imageTags.join(', ')}`}`,
      ...takenTags.map(({ imageTag, imageDigest: by }) => `  not its tag ${imageTag}: it was given to ${by} since`),
      ...deletedTags.map((imageTag) => `  not its tag ${imageTag}: it was given to another image since, and deleted from that`),
    ]),
    ...notRestored.map(({ imageDigest, reason }) => `${repositoryName}@${imageDigest} is not back: ${reason}`),
  ].join('\n')}\n`
}

function readableBatch({ trashedAt, purgeAfter, ...batch }: Batch): object {
  return { ...batch, trashedAt: isoTime(trashedAt), purgeAfter: isoTime(purgeAfter) }
}
