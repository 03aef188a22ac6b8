import type { AwsCall } from '../../service.ts'

/*
 * What operations of this service are about, where that is not an account of the installation: a repository or a registry of
 * the caller's account, or of the one in `registryId`.
 */

export { repositoryResource, targetOf } from '../ecr/target.ts'
export { registryId, repositoryName, repositoryMembers } from '../ecr/shapes.ts'

/** The ARN of the registry that a call works on, for what is no single repository's. */
export function registryResource(call: AwsCall): string {
  const { region, accountId } = call.context.registry
  return `arn:aws:ecr:${region}:${accountId}:*`
}
