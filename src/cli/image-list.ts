import { exitCodes } from '../config/exit-codes.ts'
import type { AwsOptions } from './aws/settings.ts'
import { connectToStowage, isoTime, jsonText, tableText } from './aws/stowage-calls.ts'
import type { CommandIo } from './command-io.ts'
import { readableRetirement, type Retirement } from './image.ts'
import { sizeText } from './long-work.ts'

interface ListOptions extends AwsOptions {
  readonly json: boolean
  readonly repository: string
  readonly state: string | undefined
}

/** As the service answers it; times are seconds since the epoch. */
interface ListedImage {
  readonly imageDigest: string
  readonly imageTags: readonly string[]
  readonly imageSizeInBytes: number
  readonly imagePushedAt: number
  readonly lastRecordedPullTime?: number
  readonly state: string
  readonly retirement?: Retirement
  readonly heldBy: readonly { readonly kind: string; readonly message: string }[]
}

/** All images of a repository, or those of one state, page by page as they come. */
export async function listImages(io: CommandIo, { repository, state, json, ...options }: ListOptions): Promise<number> {
  const call = await connectToStowage(options)
  const images: ListedImage[] = []
  for (let nextToken: string | undefined, isFirst = true; isFirst || nextToken !== undefined; isFirst = false) {
    const page: { images: readonly ListedImage[]; nextToken?: string } = await call('ListImageStates', { repositoryName: repository, state: state?.toUpperCase(), nextToken })
    images.push(...page.images)
    ;({ nextToken } = page)
  }
  if (json) io.stdout.write(jsonText(images.map(forPeople)))
  else if (images.length === 0) io.stdout.write('There is no such image.\n')
  else {
    const rows = images.map(({ imageDigest, imageTags, imageSizeInBytes, imagePushedAt, state: own, retirement, heldBy }) => [
      imageDigest.slice(0, 19),
      imageTags.join(', '),
      own.toLowerCase(),
      sizeText(imageSizeInBytes),
      isoTime(imagePushedAt).slice(0, 10),
      [...(retirement?.steps ?? []).map((step) => `${step.state.toLowerCase()} ${isoTime(step.at).slice(0, 10)}`), ...heldBy.map(({ kind }) => `held: ${kind}`)].join('; '),
    ])
    io.stdout.write(tableText(['image', 'tags', 'state', 'size', 'pushed', 'to come'], rows))
  }
  return exitCodes.ok.code
}

function forPeople({ imagePushedAt, lastRecordedPullTime, retirement, ...image }: ListedImage): object {
  return {
    ...image,
    imagePushedAt: isoTime(imagePushedAt),
    ...(lastRecordedPullTime !== undefined && { lastRecordedPullTime: isoTime(lastRecordedPullTime) }),
    ...(retirement !== undefined && { retirement: readableRetirement(retirement) }),
  }
}
