import type { Page, ReferrerDescriptor, Registry } from '../../../../registry/index.ts'
import { isDigest } from '../../../../values/index.ts'
import { operation, type AwsOperation } from '../../service.ts'
import { required, structure } from '../../shapes.ts'
import type { ListIdentity, PageTokens } from './page-token.ts'
import * as shapes from './shapes.ts'
import { repositoryResource, targetOf } from './target.ts'

/** ECR's own default for this list. */
const defaultReferrers = 20

/** Annotations come with each referrer and may be as long as a manifest: a page ends where the next would not fit. */
const maxPageBytes = 3 * 1024 * 1024

/** ECR's name for the manifests that name an image as their subject: signatures, SBOMs and the like. */
export function referrerOperations(deps: {
  readonly registry: Registry
  readonly pageTokens: PageTokens
}): Record<string, AwsOperation> {
  const { registry, pageTokens } = deps
  return {
    ListImageReferrers: operation({
      // It has no action of its own (Service Authorization Reference, "Amazon ECR").
      action: 'ecr:BatchGetImage',
      resource: (input, call) => repositoryResource(input, call),
      input: structure({
        ...shapes.repositoryMembers,
        subjectId: required(structure({ imageDigest: required(shapes.digest) })),
        filter: shapes.referrersFilter,
        nextToken: shapes.nextToken,
        maxResults: shapes.maxReferrers,
      }),
      async handler(call, input) {
        const { context, name } = targetOf(input, call)
        const { imageDigest: subject } = input.subjectId
        const status = input.filter?.artifactStatus ?? 'ACTIVE'
        const artifactTypes = [...new Set(input.filter?.artifactTypes ?? [])].sort()
        const list: ListIdentity = ['ListImageReferrers', context.registry.id, name, subject, status, ...artifactTypes]
        const after = pageTokens.read(list, input.nextToken)
        if (!isDigest(subject)) {
          // Nothing has such a digest. Whether the repository is there still has to be said.
          await registry.getRepository(context, name)
          return { referrers: [] }
        }
        const filter = { status, artifactTypes: artifactTypes.length === 0 ? undefined : artifactTypes }
        const { items, next } = await bounded(
          (limit) => registry.listReferrers(context, name, subject, { ...filter, page: { limit, after } }),
          input.maxResults ?? defaultReferrers,
        )
        return { referrers: items.map(describe), nextToken: pageTokens.issue(list, next) }
      },
    }),
  }
}

/** A page as long as asked for, or as much of it as may be answered at once: always one, so that the list comes to its end. */
async function bounded(
  list: (limit: number) => Promise<Page<ReferrerDescriptor>>,
  limit: number,
): Promise<Page<ReferrerDescriptor>> {
  const page = await list(limit)
  let sizeBytes = 0
  let count = 0
  for (const { annotations } of page.items) {
    sizeBytes += Buffer.byteLength(JSON.stringify(annotations))
    if (count > 0 && sizeBytes > maxPageBytes) break
    count += 1
  }
  // Where the next page starts is known for whole pages only.
  return count < page.items.length ? list(count) : page
}

function describe({ digest, mediaType, artifactType, sizeBytes, annotations, status }: ReferrerDescriptor) {
  return { digest, mediaType, artifactType, size: sizeBytes, annotations, artifactStatus: status }
}
