import { exitCodes } from '../config/exit-codes.ts'
import type { AwsOptions } from './aws/settings.ts'
import { connectToStowage, isoTime, jsonText } from './aws/stowage-calls.ts'
import type { CommandIo } from './command-io.ts'

export interface ImageName {
  readonly repository: string
  readonly tag: string | undefined
  readonly digest: string | undefined
}

export interface ImageOptions extends AwsOptions {
  readonly json: boolean
  readonly image: ImageName
}

/** As the service answers it; times are seconds since the epoch. */
export interface Retirement {
  readonly state: string
  readonly reason: string
  readonly replacedBy?: string
  readonly steps: readonly { readonly state: string; readonly at: number }[]
  readonly postponed?: string
  readonly changedAt: number
  readonly changedBy: string
  /** The rule that announced it, in words; absent where somebody did. */
  readonly rule?: string
}

interface ImageState {
  readonly repositoryName: string
  readonly imageDigest: string
  readonly imageTags: readonly string[]
  readonly imagePushedAt: number
  readonly lastRecordedPullTime?: number
  readonly imageStatus: string
  readonly lastArchivedAt?: number
  readonly lastActivatedAt?: number
  readonly retirement?: Retirement
  readonly unit: readonly string[]
  readonly listedBy: readonly string[]
  readonly heldBy: readonly { readonly kind: string; readonly message: string }[]
  readonly trash?: {
    readonly trashBatch: string
    readonly trashedAt: number
    readonly trashedBy: string
    readonly purgeAfter: number
    readonly cause: Readonly<Record<string, unknown>>
    /** Where a rule of a policy did it. */
    readonly rule?: string
    readonly imageTags: readonly string[]
  }
}

export async function describeImage(io: CommandIo, options: ImageOptions): Promise<number> {
  const call = await connectToStowage(options)
  const state = await call<ImageState>('DescribeImage', targetOf(options))
  io.stdout.write(options.json ? jsonText(forPeople(state)) : stateText(state))
  return exitCodes.ok.code
}

export async function retireImage(
  io: CommandIo,
  options: ImageOptions & {
    readonly state: 'deprecated' | 'blocked'
    readonly reason: string
    readonly replacedBy: string | undefined
    readonly blockAt: Date | undefined
    readonly archiveAt: Date | undefined
    readonly deleteAt: Date | undefined
  },
): Promise<number> {
  const call = await connectToStowage(options)
  const { reason, replacedBy, blockAt, archiveAt, deleteAt } = options
  const steps = [
    ...(blockAt === undefined ? [] : [{ state: 'BLOCKED', at: blockAt.getTime() / 1000 }]),
    ...(archiveAt === undefined ? [] : [{ state: 'ARCHIVED', at: archiveAt.getTime() / 1000 }]),
    ...(deleteAt === undefined ? [] : [{ state: 'TRASHED', at: deleteAt.getTime() / 1000 }]),
  ]
  const input = { ...targetOf(options), state: options.state.toUpperCase(), reason, replacedBy, ...(steps.length > 0 && { steps }) }
  const answer = await call<{ imageDigest: string; retirement: Retirement }>('SetImageRetirement', input)
  const retirement = readableRetirement(answer.retirement)
  io.stdout.write(options.json ? jsonText({ ...answer, retirement }) : `${answer.imageDigest}\n${retirementLines(answer.retirement).join('\n')}\n`)
  return exitCodes.ok.code
}

export async function unretireImage(io: CommandIo, options: ImageOptions): Promise<number> {
  const call = await connectToStowage(options)
  const answer = await call<{ imageDigest: string }>('SetImageRetirement', { ...targetOf(options), state: 'NONE' })
  io.stdout.write(options.json ? jsonText(answer) : `${answer.imageDigest} is not retired any more.\n`)
  return exitCodes.ok.code
}

function targetOf({ image: { repository, tag, digest } }: ImageOptions) {
  return { repositoryName: repository, imageId: { imageTag: tag, imageDigest: digest } }
}

function stateText({ repositoryName, imageDigest, imageTags, imagePushedAt, lastRecordedPullTime, imageStatus, retirement, unit, listedBy, heldBy, trash }: ImageState): string {
  const others = unit.filter((digest) => digest !== imageDigest)
  return `${[
    imageDigest,
    `tags        ${imageTags.length === 0 ? 'none' : imageTags.join(', ')}`,
    `pushed      ${isoTime(imagePushedAt)}`,
    `pulled      ${lastRecordedPullTime === undefined ? 'never' : isoTime(lastRecordedPullTime)}`,
    `state       ${trash === undefined ? imageStatus.toLowerCase() : 'in the trash'}`,
    ...(retirement === undefined ? [] : retirementLines(retirement)),
    ...(trash === undefined
      ? []
      : [
          `deleted     ${isoTime(trash.trashedAt)} by ${trash.rule ?? trash.trashedBy}`,
          `had tags    ${trash.imageTags.length === 0 ? 'none' : trash.imageTags.join(', ')}`,
          `undo        stowage trash restore ${repositoryName}@${imageDigest}, until ${isoTime(trash.purgeAfter)}`,
        ]),
    ...others.map((digest) => `goes with   ${digest}`),
    ...listedBy.map((digest) => `listed by   ${digest}`),
    ...heldBy.map(({ message }) => `held        ${message}`),
  ].join('\n')}\n`
}

function retirementLines({ state, reason, replacedBy, steps, postponed, rule }: Retirement): string[] {
  return [
    `retirement  ${state.toLowerCase()}: ${reason}`,
    ...(rule === undefined ? [] : [`by          ${rule}`]),
    ...(replacedBy === undefined ? [] : [`use         ${replacedBy}`]),
    ...steps.map((step) => `next        ${step.state === 'TRASHED' ? 'to the trash' : step.state.toLowerCase()} at ${isoTime(step.at)}`),
    ...(postponed === undefined ? [] : [`waits       ${postponed}`]),
  ]
}

export function readableRetirement({ steps, changedAt, ...retirement }: Retirement): object {
  return { ...retirement, steps: steps.map(({ state, at }) => ({ state, at: isoTime(at) })), changedAt: isoTime(changedAt) }
}

function forPeople(answer: ImageState): object {
  const { imagePushedAt, lastRecordedPullTime, lastArchivedAt, lastActivatedAt, retirement, trash, ...state } = answer
  return {
    ...state,
    imagePushedAt: isoTime(imagePushedAt),
    ...(lastRecordedPullTime !== undefined && { lastRecordedPullTime: isoTime(lastRecordedPullTime) }),
    ...(lastArchivedAt !== undefined && { lastArchivedAt: isoTime(lastArchivedAt) }),
    ...(lastActivatedAt !== undefined && { lastActivatedAt: isoTime(lastActivatedAt) }),
    ...(retirement !== undefined && { retirement: readableRetirement(retirement) }),
    ...(trash !== undefined && { trash: { ...trash, trashedAt: isoTime(trash.trashedAt), purgeAfter: isoTime(trash.purgeAfter) } }),
  }
}
