import type { Principal } from '../../iam/index.ts'
import type { RequestContext } from '../../registry/context.ts'
import type { Registry, RepositoryVisibility } from '../../registry/types.ts'
import type { TransferShare } from '../../internal/fair-share.ts'
import type { IdSource } from '../../internal/ids.ts'
import type { HttpExchange } from './answer.ts'
import type { ListPositions } from './list-positions.ts'
import type { ManifestBodies } from './manifest-body.ts'
import type { Query } from './query.ts'
import type { Tag } from '../../values/reference.ts'
import type { RepositoryName } from '../../values/repository-name.ts'

/** A request that is known, allowed and parsed, with what its handler needs. */
export interface Exchange extends HttpExchange {
  readonly query: Query
  readonly context: RequestContext
  readonly registry: Registry
  readonly ids: IdSource
  readonly manifestBodies: ManifestBodies
  /** What a listing of repositories may show; undefined: everything. */
  readonly visibility: RepositoryVisibility | undefined
  readonly positions: ListPositions
  /** Whether the caller may pull from another repository of the same registry. */
  readonly mayPullFrom: (repository: RepositoryName) => Promise<boolean>
  /** Whether a push may make a repository with these tags, as the caller and, where there is one, as a template's role. */
  readonly mayCreate: (
    repository: RepositoryName,
    tags: Readonly<Record<string, string>>,
    role: Principal | undefined,
  ) => Promise<boolean>
  /** Whether the caller gets an image of the repository that is blocked for new deployments. */
  readonly mayPullBlocked: (repository: RepositoryName) => Promise<boolean>
  /** Of a download: that of the caller's account. */
  readonly downloadShare: TransferShare
  /** The tags for which a deletion by digest was allowed; undefined where the right to it does not depend on tags. */
  readonly knownTags: () => readonly Tag[] | undefined
  /** Asks again for the request's own rights, of what was not there before. @throws `access-denied` */
  readonly requireRightsAnew: () => Promise<void>
}
