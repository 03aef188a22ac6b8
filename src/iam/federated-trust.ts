import type { AccountId } from '../values/index.ts'
import type { AuthorizationContext, RequestOrigin } from './access-request.ts'
import { evaluate, parsePolicy } from './policy/index.ts'

/** A question about somebody whom an identity provider vouches for, and who is nobody's principal yet. */
export interface FederatedRequest {
  readonly providerArn: string
  readonly accountId: AccountId
  /** Such as `sts:AssumeRoleWithWebIdentity`. */
  readonly action: string
  readonly roleArn: string
  readonly origin: RequestOrigin
  readonly conditions: AuthorizationContext
}

/** Whether a role's trust policy lets a web identity do this. Nothing else has a say: it has no policies of its own. */
export function trustsWebIdentity(request: FederatedRequest, trustPolicy: string): boolean {
  const { providerArn, accountId, action, roleArn, origin } = request
  return evaluate(
    {
      principal: { arn: providerArn, accountId, kind: 'federated', session: { provider: providerArn } },
      action,
      resource: roleArn,
      accountId,
      context: {
        ...request.conditions,
        'aws:FederatedProvider': providerArn,
        'aws:SourceIp': origin.sourceIp,
        'aws:SecureTransport': String(origin.secure),
        'aws:UserAgent': origin.userAgent,
        'aws:RequestedRegion': origin.region,
        'aws:ResourceAccount': accountId,
        'aws:CurrentTime': new Date(origin.nowMs).toISOString(),
        'aws:EpochTime': String(Math.floor(origin.nowMs / 1000)),
        'aws:ViaAWSService': 'false',
      },
    },
    { identity: [], trust: parsePolicy(trustPolicy, 'trust') },
  ).allowed
}
