import { accountOfRole, sessionTags, type AssumedRole, type SecurityTokens } from '../../../../iam/index.ts'
import { commandContext } from '../../../../registry/context.ts'
import { AwsError } from '../../errors.ts'
import { operation, unsignedOperation, type AwsOperation, type UnsignedOperation } from '../../service.ts'
import { list, required, string, structure } from '../../shapes.ts'
import { credentialMembers, refuseMfa } from './credentials.ts'
import {
  arn,
  externalId,
  minimumSessionTokenSize,
  policyArns,
  roleDurationSeconds,
  roleSessionName,
  serialNumber,
  sessionPolicy,
  sourceIdentity,
  tagKeys,
  tags,
  tokenCode,
  webIdentityToken,
} from './shapes.ts'

const roleMembers = {
  RoleArn: required(arn),
  RoleSessionName: required(roleSessionName),
  DurationSeconds: roleDurationSeconds,
  Policy: sessionPolicy,
  PolicyArns: policyArns,
  MinimumSessionTokenSize: minimumSessionTokenSize,
}

/** Roles for whoever has credentials already. */
export function roleOperations(tokens: SecurityTokens): Record<string, AwsOperation> {
  return {
    AssumeRole: operation({
      action: 'sts:AssumeRole',
      resource: (input) => input.RoleArn,
      // The role's trust policy has a say, which only the handler knows: it authorises the caller itself.
      openToEveryCaller: true,
      input: structure({
        ...roleMembers,
        Tags: tags,
        TransitiveTagKeys: tagKeys,
        ExternalId: externalId,
        SourceIdentity: sourceIdentity,
        SerialNumber: serialNumber,
        TokenCode: tokenCode,
        ProvidedContexts: list(structure({ ProviderArn: string({ max: 2048 }), ContextAssertion: string({ max: 2048 }) }), { max: 5 }),
      }),
      async handler({ context, secure }, input) {
        refuseMfa(input)
        if ((input.ProvidedContexts ?? []).length > 0) {
          throw new AwsError('ValidationError', 'There are no context providers: leave ProvidedContexts out.')
        }
        const { actor, sourceIp, userAgent, clock, registry } = context
        const assumed = await tokens.assumeRole(
          {
            ...roleRequest(input),
            tags: sessionTags((input.Tags ?? []).map(({ Key, Value }) => ({ key: Key, value: Value }))),
            transitiveTagKeys: input.TransitiveTagKeys ?? [],
            externalId: input.ExternalId,
            sourceIdentity: input.SourceIdentity,
          },
          actor,
          { sourceIp, secure, userAgent, region: registry.region, nowMs: clock.now() },
          commandContext(context),
        )
        return assumedRoleMembers(assumed)
      },
    }),
  }
}

/** Roles for whoever has a token of an identity provider, and no credentials. */
export function webIdentityOperations(tokens: SecurityTokens): Record<string, UnsignedOperation> {
  return {
    AssumeRoleWithWebIdentity: unsignedOperation({
      action: 'sts:AssumeRoleWithWebIdentity',
      accountOf: (input) => accountOfRole(input.RoleArn),
      calls: ['AssumeRoleWithWebIdentity'],
      input: structure({
        ...roleMembers,
        WebIdentityToken: required(webIdentityToken),
        ProviderId: string({ min: 4, max: 2048 }),
      }),
      async handler(call, input) {
        // For access tokens of OAuth 2.0 providers, which are none of OpenID Connect.
        if (input.ProviderId !== undefined) {
          throw new AwsError('ValidationError', 'ProviderId is for OAuth 2.0 access tokens, which are not accepted: leave it out for an OpenID Connect token.')
        }
        const assumed = await tokens.assumeRoleWithWebIdentity(roleRequest(input), input.WebIdentityToken, call)
        const { identity, providerArn } = assumed
        return {
          ...assumedRoleMembers(assumed),
          SubjectFromWebIdentityToken: identity.subject,
          Audience: identity.audiences[0],
          Provider: providerArn,
        }
      },
    }),
  }
}

function roleRequest(input: {
  readonly RoleArn: string
  readonly RoleSessionName: string
  readonly DurationSeconds?: number | undefined
  readonly Policy?: string | undefined
  readonly PolicyArns?: readonly { readonly arn: string }[] | undefined
  readonly MinimumSessionTokenSize?: number | undefined
}) {
  return {
    roleArn: input.RoleArn,
    roleSessionName: input.RoleSessionName,
    durationSeconds: input.DurationSeconds,
    policy: input.Policy,
    minimumTokenBytes: input.MinimumSessionTokenSize,
    policyArns: (input.PolicyArns ?? []).map((each) => each.arn),
  }
}

function assumedRoleMembers({ credentials, arn: roleArn, assumedRoleId, packedPolicyPercent, sourceIdentity: identity }: AssumedRole): object {
  return {
    ...credentialMembers(credentials),
    AssumedRoleUser: { AssumedRoleId: assumedRoleId, Arn: roleArn },
    PackedPolicySize: packedPolicyPercent,
    SourceIdentity: identity,
  }
}
