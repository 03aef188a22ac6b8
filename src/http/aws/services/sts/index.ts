import type { SecurityTokens } from '../../../../iam/index.ts'
import type { AwsService } from '../../service.ts'
import { validationError } from '../../shapes.ts'
import { credentialOperations } from './credentials.ts'
import { roleOperations, webIdentityOperations } from './roles.ts'

/** AWS Security Token Service: temporary credentials, and who somebody is. */
export function createStsService(tokens: SecurityTokens): AwsService {
  return {
    name: 'sts',
    protocol: 'query',
    signingName: 'sts',
    apiVersion: '2011-06-15',
    xmlns: 'https://sts.amazonaws.com/doc/2011-06-15/',
    invalidInput: validationError('ValidationError'),
    openToSessionTokens: ['AssumeRole', 'GetCallerIdentity'],
    operations: { ...credentialOperations(tokens), ...roleOperations(tokens) },
    unsignedOperations: webIdentityOperations(tokens),
  }
}
