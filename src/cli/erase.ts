import { exitCodes } from '../config/exit-codes.ts'
import type { AwsOptions } from './aws/settings.ts'
import { connectToStowage, everyPage, isoTime, jsonText } from './aws/stowage-calls.ts'
import type { CommandIo } from './command-io.ts'

export interface EraseOptions extends AwsOptions {
  readonly json: boolean
}

/** As the service answers it; times are seconds since the epoch. */
interface Erasure {
  readonly erasureId?: string
  readonly status: 'DRY_RUN' | 'RUNNING' | 'DONE'
  readonly requestedAt: number
  readonly requestedBy: string
  readonly reason: string
  readonly finishedAt?: number
  readonly everywhere: boolean
  readonly images: readonly {
    readonly repositoryName: string
    readonly imageDigest: string
    readonly imageTags: readonly string[]
    readonly imageStatus: string
    readonly imagePushedAt: number
    readonly pullCount: number
    readonly lastRecordedPullTime?: number
    readonly heldBy: readonly string[]
  }[]
  readonly blobs: readonly {
    readonly layerDigest: string
    readonly layerSizeInBytes: number
    readonly status: string
    readonly namedBy: readonly { readonly repositoryName: string; readonly imageDigest: string; readonly inTrash: boolean }[]
    readonly namedInOtherRegistries: boolean
  }[]
}

export async function eraseImages(
  io: CommandIo,
  options: EraseOptions & {
    readonly repository: string
    readonly images: readonly string[]
    readonly layers: readonly string[]
    readonly everywhere: boolean
    readonly reason: string
    readonly overrideProtection: boolean
    readonly apply: boolean
  },
): Promise<number> {
  const call = await connectToStowage(options)
  const { repository, images, layers, everywhere, reason, overrideProtection, apply } = options
  const { erasure } = await call<{ erasure: Erasure }>('EraseImages', {
    repositoryName: repository,
    ...(images.length > 0 && { imageDigests: images }),
    ...(layers.length > 0 && { layerDigests: layers }),
    everywhere,
    reason,
    overrideProtection,
    dryRun: !apply,
  })
  io.stdout.write(options.json ? jsonText(forPeople(erasure)) : erasureText(erasure))
  return exitCodes.ok.code
}

export async function listErasures(io: CommandIo, options: EraseOptions): Promise<number> {
  const call = await connectToStowage(options)
  const found = await everyPage(call, 'ListErasures', {}, (page) => page['erasures'] as Erasure[])
  if (options.json) io.stdout.write(jsonText(found.map(forPeople)))
  else io.stdout.write(found.length === 0 ? 'Nothing was erased.\n' : found.map(erasureText).join('\n'))
  return exitCodes.ok.code
}

function erasureText({ erasureId, status, requestedAt, requestedBy, reason, images, blobs }: Erasure): string {
  const isPlan = status === 'DRY_RUN'
  const head = isPlan ? `Would be erased (${reason}):` : `Erased at ${isoTime(requestedAt)} by ${requestedBy} (${reason}); erasure ${erasureId ?? ''}:`
  const pulled = images.some(({ pullCount }) => pullCount > 0)
  return `${[
    head,
    ...images.flatMap((image) => [
      `  ${image.repositoryName}@${image.imageDigest}${image.imageTags.length > 0 ? `  ${image.imageTags.join(', ')}` : ''}${image.imageStatus === 'ACTIVE' ? '' : `  (${image.imageStatus.toLowerCase()})`}`,
      `    pushed ${isoTime(image.imagePushedAt)}, pulled ${image.pullCount} times${image.lastRecordedPullTime === undefined ? '' : `, last ${isoTime(image.lastRecordedPullTime)}`}`,
      ...image.heldBy.map((message) => `    held: ${message}`),
    ]),
    ...blobs.flatMap((blob) => [
      `  ${blob.layerDigest}  ${blob.layerSizeInBytes} bytes  ${blob.status.toLowerCase().replaceAll('_', ' ')}`,
      ...blob.namedBy.map(({ repositoryName, imageDigest, inTrash }) => `    still in ${repositoryName}@${imageDigest}${inTrash ? ' (in the trash)' : ''}`),
      ...(blob.namedInOtherRegistries ? ['    still in images of other registries'] : []),
    ]),
    ...(pulled ? ['Whoever has pulled it has it still: replace the secret.'] : []),
    ...(status === 'RUNNING' ? ['Some bytes are removed when a backup that is under way has ended.'] : []),
    ...(isPlan ? ['Nothing was changed. Add --apply to erase it; nothing brings it back.'] : []),
  ].join('\n')}\n`
}

function forPeople({ requestedAt, finishedAt, images, ...erasure }: Erasure): object {
  return {
    ...erasure,
    requestedAt: isoTime(requestedAt),
    ...(finishedAt !== undefined && { finishedAt: isoTime(finishedAt) }),
    images: images.map(({ imagePushedAt, lastRecordedPullTime, ...image }) => ({
      ...image,
      imagePushedAt: isoTime(imagePushedAt),
      ...(lastRecordedPullTime !== undefined && { lastRecordedPullTime: isoTime(lastRecordedPullTime) }),
    })),
  }
}
