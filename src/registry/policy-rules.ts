import { parameterInvalid, registryError } from './errors.ts'

/** Whose policy a document is to be. */
export type PolicyOwner = 'repository' | 'registry'

/** The most characters of ECR's model. */
const maxPolicyLength = 10_240

/** How ECR names the members of its input in the refusals of a policy. */
const fieldNames: Record<PolicyOwner, string> = { repository: 'PolicyText', registry: 'PolicyText' }

/**
 * Checks that a document can be the policy of a repository or a registry: AWS's grammar of resource policies, and actions
 * of ECR only. Amazon ECR user guide, "Private repository policies" and "Private registry permissions".
 *
 * @param field the member of the input that holds it, where it is not the policy's own
 * @throws `parameter-invalid`, in ECR's words and with what is wrong
 */
export function checkPolicy(document: string, owner: PolicyOwner, field = fieldNames[owner]): void {
  const refused = (reason: string): Error =>
    parameterInvalid(field, `Invalid ${owner} policy provided${reason === '' ? '' : `: ${reason}`}`)
  // In code points, as AWS counts; a text of so many units is looked at before it is split.
  if (document.length > maxPolicyLength && [...document].length > maxPolicyLength) {
    throw refused(`it has more than ${maxPolicyLength} characters`)
  }
  throw refused('policies are not enforced by this server yet, so that none is accepted')
}

export function repositoryPolicyUnknown(name: string, accountId: string): Error {
  return registryError(
    'repository-policy-unknown',
    `Repository policy does not exist for the repository with name '${name}' in the registry with id '${accountId}'`,
  )
}

export function registryPolicyUnknown(accountId: string): Error {
  return registryError('registry-policy-unknown', `Registry policy does not exist in the registry with id '${accountId}'`)
}
