import { pushCreating } from '../../registry/create-on-push.ts'
import type { RepositoryName } from '../../values/repository-name.ts'
import type { Exchange } from './exchange.ts'

/** A step of a push that a repository's absence does not end where a template says how to make it, and the caller may. */
export function pushing<Result>(
  { registry, context, mayCreate, requireRightsAnew }: Exchange,
  repository: RepositoryName,
  push: () => Promise<Result>,
): Promise<Result> {
  const create = (): Promise<boolean> =>
    registry.createForPush(context, repository, (tags, role) => mayCreate(repository, tags, role))
  return pushCreating(push, create, requireRightsAnew)
}
