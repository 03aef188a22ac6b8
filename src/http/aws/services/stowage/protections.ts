import type { ProtectionTarget } from '../../../../registry/commands/protections.ts'
import type { Protection, Protections } from '../../../../registry/protection/protections.ts'
import { parseDigest, parseRepositoryName } from '../../../../values/index.ts'
import { operation, type AwsOperation } from '../../service.ts'
import { invalidParameter, required, string, structure, timestamp } from '../../shapes.ts'
import * as shapes from './shapes.ts'
import { repositoryResource } from './target.ts'

const target = {
  registryId: shapes.registryId,
  repositoryName: required(shapes.repositoryName),
  imageTag: shapes.imageTag,
  imageDigest: shapes.digest,
}

/** What nobody may delete: a tag with the image it points to, an image by its digest, or, with neither, the whole repository. */
export function protectionOperations({ protections }: { readonly protections: Protections }): Record<string, AwsOperation> {
  return {
    PutProtection: operation({
      action: 'stowage:PutProtection',
      resource: repositoryResource,
      input: structure({ ...target, reason: required(shapes.reason), owner: string({ min: 1, max: 256, pattern: shapes.oneLine }), endsAt: timestamp() }),
      async handler(call, input) {
        const { context } = call
        const protection = await protections.put(context, parseRepositoryName(input.repositoryName), {
          target: targetOf(input),
          reason: input.reason,
          owner: input.owner ?? context.actor.arn,
          endsAt: input.endsAt?.getTime(),
          mayLoosen: await call.allows('stowage:DeleteProtection', repositoryResource(input, call)),
        })
        return { protection: describe(protection, context.registry.accountId) }
      },
    }),

    DeleteProtection: operation({
      action: 'stowage:DeleteProtection',
      resource: repositoryResource,
      input: structure(target),
      async handler({ context }, input) {
        const protection = await protections.delete(context, parseRepositoryName(input.repositoryName), targetOf(input))
        return { protection: describe(protection, context.registry.accountId) }
      },
    }),

    ListProtections: operation({
      action: 'stowage:ListProtections',
      resource: repositoryResource,
      input: structure({ registryId: shapes.registryId, repositoryName: required(shapes.repositoryName), nextToken: shapes.nextToken, maxResults: shapes.maxResults }),
      async handler({ context }, input) {
        const page = { after: input.nextToken, limit: input.maxResults ?? shapes.defaultPageSize }
        const { items, next } = await protections.list(context, parseRepositoryName(input.repositoryName), page)
        return { protections: items.map((protection) => describe(protection, context.registry.accountId)), nextToken: next }
      },
    }),
  }
}

/** @throws AwsError InvalidParameterException, PlatformError `digest-invalid` */
function targetOf({ imageTag, imageDigest }: { readonly imageTag?: string | undefined; readonly imageDigest?: string | undefined }): ProtectionTarget {
  if (imageTag !== undefined && imageDigest !== undefined) {
    throw invalidParameter([{ field: 'imageDigest', constraint: 'Member must be null when imageTag is set' }])
  }
  if (imageTag !== undefined) return { kind: 'tag', value: imageTag }
  return imageDigest === undefined ? { kind: 'repository', value: '' } : { kind: 'digest', value: parseDigest(imageDigest) }
}

function describe({ repositoryName, target: { kind, value }, ...protection }: Protection, registryId: string) {
  return {
    registryId,
    repositoryName,
    imageTag: kind === 'tag' ? value : undefined,
    imageDigest: kind === 'digest' ? value : protection.digest,
    protects: kind,
    reason: protection.reason,
    owner: protection.owner,
    createdAt: new Date(protection.createdAt),
    createdBy: protection.createdBy,
    endsAt: protection.endsAt === undefined ? undefined : new Date(protection.endsAt),
  }
}
