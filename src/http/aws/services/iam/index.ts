import type { AwsService } from '../../service.ts'
import { validationError } from '../../shapes.ts'
import { absentOperations } from './absent.ts'
import { accessKeyOperations } from './access-keys.ts'
import { accountOperations } from './account.ts'
import { authorizationDetailOperations } from './authorization-details.ts'
import type { IamServiceDependencies } from './calls.ts'
import { entityPolicyOperations } from './entity-policies.ts'
import { groupOperations } from './groups.ts'
import { oidcProviderOperations } from './oidc-providers.ts'
import { managedPolicyOperations } from './policies.ts'
import { roleOperations } from './roles.ts'
import { simulationOperations } from './simulations.ts'
import { tagOperations } from './tags.ts'
import { userOperations } from './users.ts'

/**
 * AWS Identity and Access Management. As AWS's it has no region: clients sign for `us-east-1`, wherever the images are.
 */
export function createIamService(deps: IamServiceDependencies): AwsService {
  return {
    name: 'iam',
    protocol: 'query',
    signingName: 'iam',
    apiVersion: '2010-05-08',
    xmlns: 'https://iam.amazonaws.com/doc/2010-05-08/',
    invalidInput: validationError('ValidationError'),
    serverFault: 'ServiceFailure',
    openToSessionTokens: [],
    resourceText,
    operations: {
      ...userOperations(deps),
      ...groupOperations(deps),
      ...accessKeyOperations(deps),
      ...roleOperations(deps),
      ...managedPolicyOperations(deps),
      ...entityPolicyOperations(deps),
      ...tagOperations(deps),
      ...oidcProviderOperations(deps),
      ...accountOperations(deps),
      ...authorizationDetailOperations(deps),
      ...simulationOperations(deps),
      ...absentOperations(deps),
    },
  }
}

/**
 * IAM's words in refusals: a user, group or role by its name, an access key by its id. Who may not look at a user is not told
 * by its path that there is one, nor whose a key is.
 */
function resourceText(action: string, resource: string, input: unknown): string | undefined {
  if (action === 'iam:GetAccessKeyLastUsed') return `access key ${(input as { AccessKeyId: string }).AccessKeyId}`
  // What is to be made has the path that the caller gives it.
  if (action.startsWith('iam:Create') && action !== 'iam:CreateAccessKey') return undefined
  const [, kind, name] = /^arn:aws:iam::\d{12}:(user|group|role)\/(?:.*\/)?([^/]+)$/.exec(resource) ?? []
  return kind === undefined ? undefined : `${kind} ${name}`
}
