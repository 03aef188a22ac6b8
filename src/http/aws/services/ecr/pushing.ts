import { pushCreating, type Registry } from '../../../../registry/index.ts'
import type { RepositoryName } from '../../../../values/index.ts'
import type { AwsCall } from '../../service.ts'
import { requestTagConditions } from './conditions.ts'
import { repositoryResource } from './target.ts'

/** A step of a push that a repository's absence does not end where a template says how to make it, and the caller may. */
export function pushing<Result>(
  registry: Registry,
  call: AwsCall,
  name: RepositoryName,
  push: () => Promise<Result>,
): Promise<Result> {
  return pushCreating(push, () =>
    registry.createForPush(call.context, name, ({ tags }) =>
      call.allows('ecr:CreateRepository', repositoryResource({ repositoryName: name }, call), {
        conditions: () => requestTagConditions(Object.entries(tags).map(([Key, Value]) => ({ Key, Value }))),
      }),
    ),
  )
}
