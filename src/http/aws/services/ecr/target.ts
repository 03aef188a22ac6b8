import type { RequestContext } from '../../../../registry/index.ts'
import {
  parseAccountId,
  parseRepositoryName,
  repositoryArn,
  type AccountId,
  type RepositoryName,
} from '../../../../values/index.ts'
import type { AwsCall } from '../../service.ts'
import { invalidParameter } from '../../shapes.ts'

/** The registry that an input names: an account's, in the region of the call. */
interface NamesRegistry {
  readonly registryId?: string | undefined
}

interface NamesRepository extends NamesRegistry {
  readonly repositoryName: string
}

/** The ARN of the repository that an input names. */
export function repositoryResource(input: NamesRepository, call: AwsCall): string {
  return repositoryArn(call.context.registry.region, accountOf(input, call), parseRepositoryName(input.repositoryName))
}

/** All repositories of the registry that an input names, in the form in which IAM policies name them. */
export function everyRepositoryResource(input: NamesRegistry, call: AwsCall): string {
  return `arn:aws:ecr:${call.context.registry.region}:${accountOf(input, call)}:repository/*`
}

/**
 * What to work on, after the call was authorised.
 * @throws AwsError where the caller was allowed to use another account's registry: only its own is reached here.
 */
export function targetOf(input: NamesRepository, call: AwsCall): { context: RequestContext; name: RepositoryName } {
  return { context: contextOf(input, call), name: parseRepositoryName(input.repositoryName) }
}

/** As `targetOf`, for calls that name no repository. */
export function contextOf(input: NamesRegistry, call: AwsCall): RequestContext {
  if (accountOf(input, call) !== call.context.registry.accountId) {
    throw invalidParameter([{ field: 'registryId', constraint: "Member must be the id of the caller's own registry" }])
  }
  return call.context
}

function accountOf({ registryId }: NamesRegistry, call: AwsCall): AccountId {
  return registryId === undefined ? call.context.registry.accountId : parseAccountId(registryId)
}
