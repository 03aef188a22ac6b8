import type { Logger } from 'pino'
import type { CommandContext } from '../storage/metadata/command.ts'
import type { MetadataDatabase } from '../storage/metadata/database.ts'
import { unreadImages, type LabelRow, type UnreadImage } from '../storage/metadata/stores/manifest-label-store.ts'
import { findRepositoryRowById } from '../storage/metadata/stores/repository-store.ts'
import type { Digest } from '../values/index.ts'
import { saveLabels } from './commands/labels.ts'

/** Images read together, and kept by one command. Their manifests are in memory, 4 MiB each at most. */
const imagesPerStep = 20
/** As large as a manifest may be. Larger ones of images are none that a tool made for labels. */
const maxConfigBytes = 4 * 1024 * 1024
/**
 * Labels of an image, and annotations, that are kept: each evaluation reads those of 400 images at a time. Generators of labels
 * write a few kilobytes.
 */
export const maxLabelCharacters = 64 * 1024
/** Configs of a repository that cannot be read, after which no more are tried this time: then it is the storage that is away. */
const maxUnreadable = 100
/** Configs that have labels. OCI image-spec, config.md. */
const imageConfigs = new Set(['application/vnd.oci.image.config.v1+json', 'application/vnd.docker.container.image.v1+json'])

/** The content of a blob of a repository. Throws where it is not there, or damaged. */
export type OpenConfig = (blob: { registryId: number; repositoryId: number; digest: Digest }) => Promise<{
  readonly content: { read(): AsyncIterable<Buffer>; close(): Promise<void> }
}>

export interface ImageLabelsDependencies {
  readonly database: MetadataDatabase
  readonly openConfig: OpenConfig
  readonly systemContext: () => CommandContext
  readonly logger: Pick<Logger, 'warn'>
}

/**
 * Reads the labels and annotations of a repository's images that nobody has asked for before, so that an evaluation finds them.
 * What cannot be read, or is too much to keep, stays unknown: a rule that keeps by labels keeps it, and no other is about it. The
 * next evaluation tries again.
 */
export async function readImageLabels(deps: ImageLabelsDependencies, repositoryId: number, signal?: AbortSignal): Promise<void> {
  const { database, systemContext, logger } = deps
  const repository = await findRepositoryRowById(database.reader, repositoryId)
  if (!repository) return
  let unreadable = 0
  let failure: unknown
  const place = { registryId: repository.registry_id, repositoryId }
  for (let after = 0; unreadable < maxUnreadable; ) {
    signal?.throwIfAborted()
    const images = await unreadImages(database.reader, { repositoryId, after, limit: imagesPerStep })
    if (images.length === 0) break
    const rows: LabelRow[] = []
    for (const image of images) {
      try {
        rows.push(await readLabels(deps, place, image))
      } catch (error) {
        signal?.throwIfAborted()
        unreadable += 1
        failure = error
      }
    }
    await database.execute(saveLabels, { rows }, systemContext())
    after = images.at(-1)!.id
  }
  if (unreadable > 0) logger.warn({ err: failure, repositoryId, images: unreadable }, 'labels of images could not be read: rules that keep by labels keep them')
}

async function readLabels(
  { openConfig }: ImageLabelsDependencies,
  repository: { readonly registryId: number; readonly repositoryId: number },
  { id, payload, config }: UnreadImage,
): Promise<LabelRow> {
  const annotations = textsOf(member(parsed(Buffer.from(payload).toString()), 'annotations'))
  let labels: Record<string, string> = {}
  if (config !== undefined && imageConfigs.has(config.mediaType)) {
    if (config.sizeBytes > maxConfigBytes) return { manifestId: id, labels: 'null', annotations: kept(annotations) }
    const { content } = await openConfig({ ...repository, digest: config.digest })
    const chunks: Buffer[] = []
    try {
      for await (const chunk of content.read()) chunks.push(chunk)
    } finally {
      await content.close()
    }
    labels = textsOf(member(member(parsed(Buffer.concat(chunks).toString()), 'config'), 'Labels'))
  }
  return { manifestId: id, labels: kept(labels), annotations: kept(annotations) }
}

function kept(texts: Readonly<Record<string, string>>): string {
  const json = JSON.stringify(texts)
  return json.length > maxLabelCharacters ? 'null' : json
}

/** What is no JSON has no labels. */
function parsed(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

function member(value: unknown, name: string): unknown {
  return typeof value === 'object' && value !== null && Object.hasOwn(value, name) ? (value as Record<string, unknown>)[name] : undefined
}

function textsOf(value: unknown): Record<string, string> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return {}
  return Object.fromEntries(Object.entries(value).filter((entry): entry is [string, string] => typeof entry[1] === 'string'))
}
