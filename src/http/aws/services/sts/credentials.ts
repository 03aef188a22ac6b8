import { iamError, maxSessionTokenBytes, type SecurityTokens, type TemporaryCredentials } from '../../../../iam/index.ts'
import { commandContext } from '../../../../registry/context.ts'
import { AwsError } from '../../errors.ts'
import { operation, type AwsOperation } from '../../service.ts'
import { required, structure } from '../../shapes.ts'
import { accessKeyId, minimumSessionTokenSize, serialNumber, sessionDurationSeconds, tokenCode } from './shapes.ts'

/** What every answer with temporary credentials has of them. */
export function credentialMembers({ accessKeyId, secretAccessKey, sessionToken, expiresAt }: TemporaryCredentials): object {
  return {
    Credentials: { AccessKeyId: accessKeyId, SecretAccessKey: secretAccessKey, SessionToken: sessionToken, Expiration: new Date(expiresAt) },
    SessionTokenSize: sessionToken.length,
    SessionTokenUtilization: Math.min(100, Math.ceil((sessionToken.length * 100) / maxSessionTokenBytes)),
  }
}

/** There are no MFA devices here, so nobody has shown one: a caller that means to is told, not passed over. */
export function refuseMfa(input: { readonly SerialNumber?: string | undefined; readonly TokenCode?: string | undefined }): void {
  if (input.SerialNumber === undefined && input.TokenCode === undefined) return
  throw iamError('access-denied', 'MultiFactorAuthentication failed with invalid MFA one time pass code. ')
}

/** What callers learn of access keys, and what they get for their own. */
export function credentialOperations(tokens: SecurityTokens): Record<string, AwsOperation> {
  return {
    GetCallerIdentity: operation({
      action: 'sts:GetCallerIdentity',
      resource: () => '*',
      openToEveryCaller: true,
      input: structure({}),
      async handler({ context: { actor } }) {
        return { Arn: actor.arn, UserId: actor.userId, Account: actor.accountId }
      },
    }),

    GetSessionToken: operation({
      action: 'sts:GetSessionToken',
      resource: () => '*',
      // As AWS: policies cannot take it away, since it gives nothing that the caller has not got.
      openToEveryCaller: true,
      input: structure({
        DurationSeconds: sessionDurationSeconds,
        SerialNumber: serialNumber,
        TokenCode: tokenCode,
        MinimumSessionTokenSize: minimumSessionTokenSize,
      }),
      async handler({ context }, input) {
        refuseMfa(input)
        const wanted = { durationSeconds: input.DurationSeconds, minimumTokenBytes: input.MinimumSessionTokenSize }
        return credentialMembers(await tokens.getSessionToken(context.actor, wanted, commandContext(context)))
      },
    }),

    GetAccessKeyInfo: operation({
      action: 'sts:GetAccessKeyInfo',
      resource: () => '*',
      input: structure({ AccessKeyId: required(accessKeyId) }),
      async handler(_call, input) {
        const accountId = await tokens.accountOfAccessKey(input.AccessKeyId)
        if (accountId === undefined) throw new AwsError('ValidationError', 'The access key id is not one of this installation.')
        return { Account: accountId }
      },
    }),
  }
}
