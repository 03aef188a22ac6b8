import { parameterInvalid, type ImageDetail, type ImageIdentifier, type ImageLifeState, type NewRetirement, type Registry, type Retirement } from '../../../../registry/index.ts'
import { parseDigest, parseTag } from '../../../../values/index.ts'
import { operation, type AwsOperation } from '../../service.ts'
import { enumeration, integer, list, required, simplePattern, string, structure, timestamp, type Input } from '../../shapes.ts'
import type { ListIdentity, PageTokens } from '../ecr/page-token.ts'
import * as shapes from '../ecr/shapes.ts'
import { repositoryMembers, repositoryResource, targetOf } from './target.ts'

/** Shown to whoever pulls, in one line of a header. */
const line = simplePattern(/^[^\p{Cc}]*$/u, '[^\\p{Cc}]*')

const imageId = required(structure({ imageDigest: shapes.digest, imageTag: shapes.imageTag }))

const steps = list(structure({ state: required(enumeration(['BLOCKED', 'ARCHIVED', 'TRASHED'])), at: required(timestamp()) }), { min: 1, max: 3 })

/** What holds each is looked for. */
const maxStatesPerPage = 100

/** What an image's owner tells of its end, to people and to whoever pulls it. */
export function retirementOperations({ registry, pageTokens }: { readonly registry: Registry; readonly pageTokens: PageTokens }): Record<string, AwsOperation> {
  return {
    DescribeImage: operation({
      action: 'stowage:DescribeImage',
      resource: (input, call) => repositoryResource(input, call),
      input: structure({ ...repositoryMembers, imageId }),
      async handler(call, input) {
        const { context, name } = targetOf(input, call)
        const { image, retirement, unit, listedBy, vetoes, trash } = await registry.describeImageState(context, name, identifierOf(input.imageId))
        return {
          registryId: context.registry.accountId,
          repositoryName: name,
          ...imageMembers(image),
          imageStatus: image.status,
          lastArchivedAt: dateOf(image.lastArchivedAt),
          lastActivatedAt: dateOf(image.lastActivatedAt),
          retirement: retirement && describeRetirement(retirement),
          unit,
          listedBy,
          heldBy: vetoes.map(({ kind, message }) => ({ kind, message })),
          trash: trash && {
            trashBatch: trash.batch,
            trashedAt: new Date(trash.trashedAt),
            trashedBy: trash.trashedBy,
            purgeAfter: new Date(trash.purgeAfter),
            cause: trash.cause,
            rule: trash.rule,
            imageTags: trash.tags,
          },
        }
      },
    }),

    ListImageStates: operation({
      action: 'stowage:ListImageStates',
      resource: (input, call) => repositoryResource(input, call),
      input: structure({ ...repositoryMembers, state: enumeration(['ACTIVE', 'DEPRECATED', 'BLOCKED', 'ARCHIVED', 'ACTIVATING']), nextToken: shapes.nextToken, maxResults: integer({ min: 1, max: maxStatesPerPage }) }),
      async handler(call, input) {
        const { context, name } = targetOf(input, call)
        const identity: ListIdentity = ['ListImageStates', context.registry.id, name, input.state ?? '']
        const page = { limit: input.maxResults ?? maxStatesPerPage, after: pageTokens.read(identity, input.nextToken) }
        const { items, next } = await registry.listImageStates(context, name, input.state?.toLowerCase() as ImageLifeState | undefined, page)
        return {
          images: items.map(({ image, state, retirement, vetoes }) => ({
            ...imageMembers(image),
            state: state.toUpperCase(),
            retirement: retirement && describeRetirement(retirement),
            heldBy: vetoes.map(({ kind, message }) => ({ kind, message })),
          })),
          nextToken: pageTokens.issue(identity, next),
        }
      },
    }),

    SetImageRetirement: operation({
      action: 'stowage:SetImageRetirement',
      resource: (input, call) => repositoryResource(input, call),
      input: structure({
        ...repositoryMembers,
        imageId,
        state: required(enumeration(['NONE', 'DEPRECATED', 'BLOCKED'])),
        reason: string({ min: 1, max: 500, pattern: line }),
        replacedBy: string({ min: 1, max: 400, pattern: line }),
        steps,
      }),
      async handler(call, input) {
        const { context, name } = targetOf(input, call)
        const { digest, retirement } = await registry.setImageRetirement(context, name, identifierOf(input.imageId), wantedRetirement(input, context.clock.now()))
        return { repositoryName: name, imageDigest: digest, retirement: retirement && describeRetirement(retirement) }
      },
    }),
  }
}

/** As ECR's DescribeImages names them. */
function imageMembers(image: ImageDetail) {
  return {
    imageDigest: image.digest,
    imageTags: image.tags,
    imageManifestMediaType: image.mediaType,
    artifactMediaType: image.artifactType,
    imageSizeInBytes: image.imageSizeBytes,
    imagePushedAt: new Date(image.pushedAt),
    lastRecordedPullTime: dateOf(image.lastPulledAt),
  }
}

/** Throws `parameter-invalid`, `digest-invalid`. */
function identifierOf({ imageDigest, imageTag }: { imageDigest?: string | undefined; imageTag?: string | undefined }): ImageIdentifier {
  if (imageDigest === undefined && imageTag === undefined) throw parameterInvalid('imageId', 'Member must have an imageDigest or an imageTag')
  return {
    digest: imageDigest === undefined ? undefined : parseDigest(imageDigest),
    tag: imageTag === undefined ? undefined : parseTag(imageTag),
  }
}

function dateOf(timeMs: number | undefined): Date | undefined {
  return timeMs === undefined ? undefined : new Date(timeMs)
}

interface Wanted {
  readonly state: 'NONE' | 'DEPRECATED' | 'BLOCKED'
  readonly reason?: string | undefined
  readonly replacedBy?: string | undefined
  readonly steps?: Input<typeof steps> | undefined
}

const stepStates = { BLOCKED: 'blocked', ARCHIVED: 'archived', TRASHED: 'trashed' } as const

/** Throws `parameter-invalid` for what says nothing, or says it in no order. */
function wantedRetirement({ state, reason, replacedBy, steps: wanted = [] }: Wanted, now: number): NewRetirement | undefined {
  if (state === 'NONE') {
    if (replacedBy !== undefined || wanted.length > 0) throw parameterInvalid('state', 'Member must not be NONE beside replacedBy or steps')
    return undefined
  }
  if (reason === undefined) throw parameterInvalid('reason', 'Member must not be null')
  const order = ['DEPRECATED', 'BLOCKED', 'ARCHIVED', 'TRASHED']
  let last = { rank: order.indexOf(state), at: now }
  for (const { state: next, at } of wanted) {
    const step = { rank: order.indexOf(next), at: at.getTime() }
    if (step.rank <= last.rank || step.at <= last.at) {
      throw parameterInvalid('steps', 'Members must be in the order DEPRECATED, BLOCKED, ARCHIVED, TRASHED, each later than the one before and than now')
    }
    last = step
  }
  return {
    state: state === 'BLOCKED' ? 'blocked' : 'deprecated',
    reason,
    replacedBy,
    steps: wanted.map((step) => ({ state: stepStates[step.state], at: step.at.getTime() })),
  }
}

/** As it is answered. */
export function describeRetirement({ state, reason, replacedBy, steps: next, postponed, changedAt, changedBy, rule }: Retirement) {
  return {
    state: state.toUpperCase(),
    reason,
    replacedBy,
    steps: next.map((step) => ({ state: step.state.toUpperCase(), at: new Date(step.at) })),
    postponed,
    changedAt: new Date(changedAt),
    changedBy,
    rule,
  }
}
