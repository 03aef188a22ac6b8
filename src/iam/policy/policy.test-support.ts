import { evaluate, type Evaluation, type PolicyRequest } from './evaluate.ts'
import type { PolicyKind } from './document.ts'
import { parsePolicy, type Policy } from './policy.ts'
import type { PolicyPrincipal } from './principals.ts'

export const home = '111122223333'
export const other = '444455556666'

export const user: PolicyPrincipal = {
  arn: `arn:aws:iam::${home}:user/team/anna`,
  accountId: home,
  kind: 'user',
  userId: 'AIDAANNA00000000001',
}

export const roleArn = `arn:aws:iam::${home}:role/ci/pusher`

export const session: PolicyPrincipal = {
  arn: `arn:aws:sts::${home}:assumed-role/pusher/run-7`,
  accountId: home,
  kind: 'assumed-role',
  userId: 'AROAPUSHER000000001:run-7',
  roleArn,
}

export const root: PolicyPrincipal = { arn: `arn:aws:iam::${home}:root`, accountId: home, kind: 'root', userId: home }

export const stranger: PolicyPrincipal = {
  arn: `arn:aws:iam::${other}:user/bob`,
  accountId: other,
  kind: 'user',
  userId: 'AIDABOB000000000001',
}

export const strangeRoot: PolicyPrincipal = { arn: `arn:aws:iam::${other}:root`, accountId: other, kind: 'root', userId: other }

export const strangeSession: PolicyPrincipal = {
  arn: `arn:aws:sts::${other}:assumed-role/reader/s1`,
  accountId: other,
  kind: 'assumed-role',
  userId: 'AROAREADER000000001:s1',
  roleArn: `arn:aws:iam::${other}:role/reader`,
}

export const providerArn = `arn:aws:iam::${home}:oidc-provider/token.actions.githubusercontent.com`

export const webIdentity: PolicyPrincipal = { arn: providerArn, accountId: home, kind: 'federated' }

export const repositoryArnPrefix = `arn:aws:ecr:eu-central-1:${home}:repository/`

export const repositoryArn = `${repositoryArnPrefix}team/app`

/** A statement with what most tests do not care about filled in. */
export type StatementParts = Readonly<Record<string, unknown>>

export function documentOf(statements: StatementParts | readonly StatementParts[], version = '2012-10-17'): string {
  return JSON.stringify({ Version: version, Statement: statements })
}

export function policyOf(
  kind: PolicyKind,
  statements: StatementParts | readonly StatementParts[],
  version?: string,
): Policy {
  return parsePolicy(documentOf(statements, version), kind)
}

const anything = { Action: '*', Resource: '*' }

export const allow = (parts: StatementParts = anything): Policy => policyOf('identity', { Effect: 'Allow', ...parts })
export const deny = (parts: StatementParts = anything): Policy => policyOf('identity', { Effect: 'Deny', ...parts })

/** An identity policy that allows one thing that no test asks for. */
export const unrelated = allow({ Action: 's3:GetObject', Resource: '*' })

export function requestOf(changes: Partial<PolicyRequest> = {}): PolicyRequest {
  return { principal: user, action: 'ecr:PutImage', resource: repositoryArn, accountId: home, context: {}, ...changes }
}

/** Whether an identity policy of one statement allows a request. */
export function isAllowedBy(statement: StatementParts, changes: Partial<PolicyRequest> = {}): boolean {
  return evaluate(requestOf(changes), { identity: [policyOf('identity', statement)] }).allowed
}

/** `allowed`, or what refused: `identity: implicit-deny`. */
export function outcomeOf(evaluation: Evaluation): string {
  return evaluation.allowed ? 'allowed' : `${evaluation.by}: ${evaluation.kind}`
}
