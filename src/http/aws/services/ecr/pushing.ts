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
  const resource = repositoryResource({ repositoryName: name }, call)
  const create = (): Promise<boolean> =>
    registry.createForPush(call.context, name, async (tags, role) => {
      const conditions = () => requestTagConditions(Object.entries(tags).map(([Key, Value]) => ({ Key, Value })))
      if (!(await call.allows('ecr:CreateRepository', resource, { conditions }))) return false
      if (role === undefined) return true
      const options = { conditions, as: role }
      if (!(await call.allows('ecr:CreateRepository', resource, options))) return false
      return Object.keys(tags).length === 0 || call.allows('ecr:TagResource', resource, options)
    })
  return pushCreating(push, create, () => call.requireAnew())
}
