import { pinPrincipals } from '../iam/index.ts'
import { parsePolicy } from '../iam/policy/index.ts'
import { isPlatformError } from '../internal/platform-error.ts'
import type { Session } from '../storage/metadata/session.ts'
import { parameterInvalid, registryError } from './errors.ts'

/** Whose policy a document is to be. */
export type PolicyOwner = 'repository' | 'registry'

/** The most characters of ECR's model. */
const maxPolicyLength = 10_240

/**
 * Checks that a document can be the policy of a repository or a registry: AWS's grammar of resource policies, and actions
 * of ECR only. Amazon ECR user guide, "Private repository policies" and "Private registry permissions".
 *
 * @param field how ECR's refusals name the member of the input that holds it
 * @throws `parameter-invalid`, in ECR's words and with what is wrong
 */
export function checkPolicy(document: string, owner: PolicyOwner, field = 'PolicyText'): void {
  const refused = (reason: string): Error => parameterInvalid(field, `Invalid ${owner} policy provided: ${reason}`)
  // In code points, as AWS counts; a text of so many units is looked at before it is split.
  if (document.length > maxPolicyLength && [...document].length > maxPolicyLength) {
    throw refused(`it has more than ${maxPolicyLength} characters`)
  }
  try {
    parsePolicy(document, 'resource')
  } catch (error) {
    if (!isPlatformError(error, 'policy-malformed')) throw error
    const { reason } = error.detail
    throw refused(typeof reason === 'string' ? reason : error.message)
  }
  const foreign = actionsOf(document).find((action) => action !== '*' && !/^ecr:/i.test(action))
  if (foreign !== undefined) throw refused(`the action ${foreign.slice(0, 128)} is not one of ecr`)
}

/**
 * A policy that was checked, as it is kept.
 *
 * @throws `parameter-invalid`, in ECR's words, where it names a user or a role that is not there
 */
export async function pinnedPolicy(session: Session, document: string, field = 'PolicyText'): Promise<string> {
  const pinned = await pinPrincipals(session, document)
  if (pinned.missing !== undefined) throw parameterInvalid(field, 'Principal not found')
  return pinned.document
}

/** Every action that a policy names, of a document that has passed the grammar. */
function actionsOf(document: string): string[] {
  const { Statement: statements } = JSON.parse(document) as { Statement: PolicyStatement | PolicyStatement[] }
  return listed(statements).flatMap(({ Action, NotAction }) => [...listed(Action ?? []), ...listed(NotAction ?? [])])
}

interface PolicyStatement {
  readonly Action?: string | string[]
  readonly NotAction?: string | string[]
}

function listed<Value>(value: Value | Value[]): Value[] {
  return Array.isArray(value) ? value : [value]
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
