import type { PolicyCandidate, PolicyPreview } from '../../../../lifecycle/index.ts'
import type { RequestContext } from '../../../../registry/index.ts'
import { parseRepositoryPrefix, type RepositoryName } from '../../../../values/index.ts'
import { operation, type AwsOperation } from '../../service.ts'
import { enumeration, integer, invalidParameter, required, structure } from '../../shapes.ts'
import { placeMembers, policyText } from './retention.ts'
import { repositoryMembers, repositoryResource, targetOf } from './target.ts'

/** Images told in one answer; the counts are of all. */
const maxChanges = 1000
const defaultChanges = 100

export type PreviewPolicy = (context: RequestContext, name: RepositoryName, candidate: PolicyCandidate, signal: AbortSignal) => Promise<PolicyPreview>

/** What a policy would change in a repository, before anybody puts it. */
export function policyPreviewOperations({ previewPolicy }: { readonly previewPolicy: PreviewPolicy }): Record<string, AwsOperation> {
  return {
    PreviewPolicy: operation({
      action: 'stowage:PreviewPolicy',
      resource: (input, call) => repositoryResource(input, call),
      input: structure({
        ...repositoryMembers,
        policyType: required(enumeration(['LIFECYCLE', 'RETENTION'])),
        prefix: placeMembers.prefix,
        scope: enumeration(['REPOSITORY', 'PREFIX', 'REGISTRY']),
        policyText,
        againstPolicyText: policyText,
        maxResults: integer({ min: 1, max: maxChanges }),
      }),
      async handler(call, input) {
        const { context, name } = targetOf(input, call)
        const preview = await previewPolicy(context, name, {
          grammar: input.policyType === 'LIFECYCLE' ? 'ecr' : 'retention',
          place: placeIn(name, input),
          text: input.policyText,
          against: input.againstPolicyText,
          limit: input.maxResults ?? defaultChanges,
        }, call.signal)
        return shown(name, preview)
      },
    }),
  }
}

/** Where the policy would be; it has to take the repository in. */
function placeIn(
  name: RepositoryName,
  { scope = 'REPOSITORY', prefix, policyType }: { scope?: 'REPOSITORY' | 'PREFIX' | 'REGISTRY' | undefined; prefix?: string | undefined; policyType: string },
): PolicyCandidate['place'] {
  if (policyType === 'LIFECYCLE' && scope !== 'REPOSITORY') throw invalidParameter([{ field: 'scope', constraint: 'Only repositories have lifecycle policies' }])
  if ((scope === 'PREFIX') !== (prefix !== undefined)) {
    throw invalidParameter([{ field: 'prefix', constraint: `Member must ${scope === 'PREFIX' ? 'not ' : ''}be null when scope is ${scope}` }])
  }
  if (prefix === undefined) return scope === 'REPOSITORY' ? { scope: 'repository', name } : { scope: 'registry' }
  const parsed = parseRepositoryPrefix(prefix)
  if (!name.startsWith(`${parsed}/`)) throw invalidParameter([{ field: 'prefix', constraint: 'Member must be a prefix of the repository' }])
  return { scope: 'prefix', prefix: parsed }
}

function shown(repositoryName: RepositoryName, { imageCount, before, after, deleted, spared, archivedBefore, archivedAfter, changes }: PolicyPreview) {
  return {
    repositoryName,
    imageCount,
    before: going(before, archivedBefore),
    after: going(after, archivedAfter),
    deleted: amount(deleted),
    spared: amount(spared),
    changes: changes.map(({ digest, tags, pushedAt, sizeBytes, change, ruleName, policyFrom, isAfterNotice, vetoes }) => ({
      imageDigest: digest,
      imageTags: tags,
      imagePushedAt: new Date(pushedAt),
      imageSizeInBytes: sizeBytes,
      change: change.replace('-', '_').toUpperCase(),
      rule: ruleName,
      policy: policyFrom,
      afterNotice: isAfterNotice ? true : undefined,
      vetoes: vetoes.length === 0 ? undefined : vetoes,
    })),
  }
}

function going({ freedBytes, ...images }: PolicyPreview['before'], archived: PolicyPreview['archivedBefore']) {
  return { ...amount(images), freedSizeInBytes: freedBytes, archivedImageCount: archived.images, archivedImageSizeInBytes: archived.sizeBytes }
}

function amount({ images, sizeBytes }: PolicyPreview['deleted']) {
  return { imageCount: images, imageSizeInBytes: sizeBytes }
}
