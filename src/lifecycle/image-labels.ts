import type { CommandContext } from '../storage/metadata/command.ts'
import type { MetadataDatabase } from '../storage/metadata/database.ts'
import { unreadImages, type LabelRow, type UnreadImage } from '../storage/metadata/stores/manifest-label-store.ts'
import { findRepositoryRowById } from '../storage/metadata/stores/repository-store.ts'
import type { Digest } from '../values/index.ts'
import { saveLabels } from './commands/labels.ts'

/** Images read together, and kept by one command. */
const imagesPerStep = 50
/** As large as a manifest may be. Larger ones of images are none that a tool made for labels. */
const maxConfigBytes = 4 * 1024 * 1024
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
}

/**
 * Reads the labels and annotations of a repository's images that nobody has asked for before, so that an evaluation finds them.
 * A config that cannot be read ends it: a rule that keeps by labels must not be taken for one that keeps nothing.
 */
export async function readImageLabels(deps: ImageLabelsDependencies, repositoryId: number, signal?: AbortSignal): Promise<void> {
  const { database, systemContext } = deps
  const repository = await findRepositoryRowById(database.reader, repositoryId)
  if (!repository) return
  for (let after = 0; ; ) {
    signal?.throwIfAborted()
    const images = await unreadImages(database.reader, { repositoryId, after, limit: imagesPerStep })
    if (images.length === 0) return
    const rows: LabelRow[] = []
    for (const image of images) rows.push(await readLabels(deps, { registryId: repository.registry_id, repositoryId }, image))
    await database.execute(saveLabels, { rows }, systemContext())
    after = images.at(-1)!.id
  }
}

async function readLabels(
  { openConfig }: ImageLabelsDependencies,
  repository: { readonly registryId: number; readonly repositoryId: number },
  { id, payload, config }: UnreadImage,
): Promise<LabelRow> {
  const annotations = textsOf(member(parsed(Buffer.from(payload).toString()), 'annotations'))
  let labels: Record<string, string> = {}
  if (config !== undefined && imageConfigs.has(config.mediaType) && config.sizeBytes <= maxConfigBytes) {
    const { content } = await openConfig({ ...repository, digest: config.digest })
    const chunks: Buffer[] = []
    try {
      for await (const chunk of content.read()) chunks.push(chunk)
    } finally {
      await content.close()
    }
    labels = textsOf(member(member(parsed(Buffer.concat(chunks).toString()), 'config'), 'Labels'))
  }
  return { manifestId: id, labels: JSON.stringify(labels), annotations: JSON.stringify(annotations) }
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
