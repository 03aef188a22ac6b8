import type { RegistryHold } from '../../../../registry/protection/index.ts'
import type { Protections } from '../../../../registry/protection/protections.ts'
import { operation, type AwsOperation } from '../../service.ts'
import { boolean, integer, required, structure } from '../../shapes.ts'
import * as shapes from './shapes.ts'
import { registryResource } from './target.ts'

/** While a registry has a hold that is not released, nothing is removed from it automatically. */
export function holdOperations({ protections }: { readonly protections: Protections }): Record<string, AwsOperation> {
  return {
    PlaceHold: operation({
      action: 'stowage:PlaceHold',
      resource: (_, call) => registryResource(call),
      input: structure({ registryId: shapes.registryId, reason: required(shapes.reason) }),
      async handler({ context }, { reason }) {
        return { holdId: await protections.placeHold(context, reason) }
      },
    }),

    ReleaseHold: operation({
      action: 'stowage:ReleaseHold',
      resource: (_, call) => registryResource(call),
      input: structure({ registryId: shapes.registryId, holdId: required(integer({ min: 1 })), reason: required(shapes.reason) }),
      async handler({ context }, { holdId, reason }) {
        await protections.releaseHold(context, holdId, reason)
        return { holdId }
      },
    }),

    ListHolds: operation({
      action: 'stowage:ListHolds',
      resource: (_, call) => registryResource(call),
      input: structure({ registryId: shapes.registryId, includeReleased: boolean(), nextToken: shapes.nextToken, maxResults: shapes.maxResults }),
      async handler({ context }, { includeReleased, nextToken, maxResults }) {
        const page = { after: nextToken, limit: maxResults ?? shapes.defaultPageSize }
        const { items, next } = await protections.listHolds(context, { released: includeReleased === true, page })
        return { holds: items.map(describe), nextToken: next }
      },
    }),
  }
}

function describe({ id, cause, reason, raisedAt, raisedBy, source, released }: RegistryHold) {
  return {
    holdId: id,
    cause,
    reason,
    raisedAt: new Date(raisedAt),
    raisedBy,
    sourceName: source?.name,
    scope: source?.scope,
    releasedAt: released && new Date(released.at),
    releasedBy: released?.by,
    releaseReason: released?.reason,
  }
}
