import type { ImageExplanation, LifecycleRun, LifecycleRunner } from '../../../../lifecycle/index.ts'
import type { RequestContext } from '../../../../registry/index.ts'
import { isDigest, parseTag, type Digest, type RepositoryName, type Tag } from '../../../../values/index.ts'
import type { PageTokens } from '../ecr/page-token.ts'
import { digest, imageTag, nextToken } from '../ecr/shapes.ts'
import { operation, type AwsOperation } from '../../service.ts'
import { integer, invalidParameter, required, simplePattern, string, structure } from '../../shapes.ts'
import { registryResource, repositoryMembers, repositoryResource, targetOf, registryId } from './target.ts'

const maxPageSize = 100

/** A UUID, as every run has. */
const runId = string({ pattern: simplePattern(/^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/) })

export type ExplainImage = (
  context: RequestContext,
  name: RepositoryName,
  image: { digest: Digest | undefined; tag: Tag | undefined },
  signal: AbortSignal,
) => Promise<ImageExplanation>

/** What lifecycle policies have done and are about to do, and why. */
export function lifecycleOperations(deps: {
  readonly runner: LifecycleRunner
  readonly explain: ExplainImage
  readonly pageTokens: PageTokens
}): Record<string, AwsOperation> {
  const { runner, explain, pageTokens } = deps
  return {
    ExplainImage: operation({
      action: 'stowage:ExplainImage',
      resource: (input, call) => repositoryResource(input, call),
      input: structure({ ...repositoryMembers, imageDigest: digest, imageTag }),
      async handler(call, input) {
        const { context, name } = targetOf(input, call)
        const { imageDigest } = input
        if ((imageDigest === undefined) === (input.imageTag === undefined)) {
          throw invalidParameter([{ field: 'imageDigest', constraint: 'Exactly one of imageDigest and imageTag must be given' }])
        }
        if (imageDigest !== undefined && !isDigest(imageDigest)) {
          throw invalidParameter([{ field: 'imageDigest', constraint: 'Member must be a SHA-256 or SHA-512 digest' }])
        }
        const tag = input.imageTag === undefined ? undefined : parseTag(input.imageTag)
        return { repositoryName: name, ...shownExplanation(await explain(context, name, { digest: imageDigest, tag }, call.signal)) }
      },
    }),

    StartLifecycleRun: operation({
      action: 'stowage:StartLifecycleRun',
      resource: (input, call) => repositoryResource(input, call),
      input: structure(repositoryMembers),
      async handler(call, input) {
        const { context, name } = targetOf(input, call)
        await runner.request(context, name)
        return { registryId: context.registry.accountId, repositoryName: name }
      },
    }),

    ListLifecycleRuns: operation({
      action: 'stowage:ListLifecycleRuns',
      resource: (input, call) => repositoryResource(input, call),
      input: structure({ ...repositoryMembers, nextToken, maxResults: integer({ min: 1, max: maxPageSize }) }),
      async handler(call, input) {
        const { context, name } = targetOf(input, call)
        const list = ['ListLifecycleRuns', context.registry.id, name]
        const page = { limit: input.maxResults ?? maxPageSize, after: pageTokens.read(list, input.nextToken) }
        const { items, next } = await runner.list(context, name, page)
        return { runs: items.map(shownRun), nextToken: pageTokens.issue(list, next) }
      },
    }),

    DescribeLifecycleRun: operation({
      action: 'stowage:DescribeLifecycleRun',
      resource: (_, call) => registryResource(call),
      input: structure({ registryId, runId: required(runId) }),
      async handler({ context }, input) {
        return { run: shownRun(await runner.find(context, input.runId)) }
      },
    }),

    ConfirmLifecycleRun: operation({
      action: 'stowage:ConfirmLifecycleRun',
      resource: (_, call) => registryResource(call),
      input: structure({ registryId, runId: required(runId) }),
      async handler({ context }, input) {
        await runner.settle(context, input.runId, 'confirmed')
        return { run: shownRun(await runner.find(context, input.runId)) }
      },
    }),

    CancelLifecycleRun: operation({
      action: 'stowage:CancelLifecycleRun',
      resource: (_, call) => registryResource(call),
      input: structure({ registryId, runId: required(runId) }),
      async handler({ context }, input) {
        await runner.settle(context, input.runId, 'cancelled')
        return { run: shownRun(await runner.find(context, input.runId)) }
      },
    }),
  }
}

function shownRun(run: LifecycleRun) {
  const { id, startedAt, finishedAt, summary, ...rest } = run
  return {
    runId: id,
    ...rest,
    ...summary,
    startedAt: new Date(startedAt),
    finishedAt: finishedAt === undefined ? undefined : new Date(finishedAt),
  }
}

function shownExplanation({ digest: imageDigest, state, text, verdicts, vetoes, trash }: ImageExplanation) {
  return {
    imageDigest,
    state,
    text,
    verdicts: verdicts.map(({ rule, name, action, outcome, atMs, text: said, policyFrom }) => ({
      rule,
      name,
      policy: policyFrom,
      action,
      outcome,
      at: atMs === undefined ? undefined : new Date(atMs),
      text: said,
    })),
    vetoes,
    trash: trash && { ...trash, since: new Date(trash.since), until: new Date(trash.until) },
  }
}
