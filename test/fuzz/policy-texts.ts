import fc from 'fast-check'
import { hostilePieces, mutated } from './mutation.ts'
import type { Random } from './random.ts'

/** The kinds of policies that the server takes. */
export type PolicyKind = 'identity' | 'resource' | 'trust' | 'session'

/** Whom and what random policies may name. */
export interface PolicyNames {
  readonly accountIds: readonly string[]
  readonly principalArns: readonly string[]
  readonly repositoryArns: readonly string[]
}

/** What each kind may name, and now and then something that only nearly is one. */
const actions: Readonly<Record<PolicyKind, readonly string[]>> = {
  identity: ['*', '*', 'ecr:*', 'ecr:*', 'ecr:Get*', 'ecr:Batch*', 'ecr:*Image*', 'ecr:BatchGetImage', 'ecr:PutImage', 'ECR:listimages', 'ecr:????Image', 'iam:*', 'iam:List*', 'sts:*', 'stowage:*', 's3:GetObject'],
  session: ['*', 'ecr:*', 'ecr:Get*', 'ecr:DescribeRepositories', 'iam:List*', 'sts:AssumeRole'],
  resource: ['ecr:*', 'ecr:Get*', 'ecr:Batch*', 'ecr:*Image*', 'ecr:BatchGetImage', 'ecr:PutImage', 'ecr:ListImages', 'ecr:SetRepositoryPolicy', 'ecr:DeleteRepository'],
  trust: ['sts:AssumeRole', 'sts:AssumeRole', 'sts:TagSession', 'sts:*', 'sts:SetSourceIdentity'],
}

const oddActions = ['', ':', 'ecr', 'ecr:', '*:*', 'e*r:Get', 'ecr:Absent', 'ecr:Put Image', 'sts:AssumeRoleWithWebIdentity', 'iam:PassRole', '${aws:username}']

const operators = [
  'StringEquals', 'StringNotEquals', 'StringEqualsIgnoreCase', 'StringLike', 'StringNotLike', 'NumericEquals', 'NumericLessThan', 'NumericGreaterThanEquals',
  'DateLessThan', 'DateGreaterThan', 'Bool', 'BinaryEquals', 'IpAddress', 'NotIpAddress', 'ArnEquals', 'ArnLike', 'ArnNotLike', 'Null',
]

/** Keys with values of their type. */
const conditions: readonly (readonly [operator: string, key: string, values: readonly string[]])[] = [
  ['StringEquals', 'aws:username', ['lane-0', '${aws:username}']],
  ['StringLike', 'aws:PrincipalTag/team', ['open', 'o*', "${aws:PrincipalTag/team, 'none'}"]],
  ['StringNotEquals', 'aws:RequestedRegion', ['us-east-1', 'eu-west-1']],
  ['StringEqualsIgnoreCase', 'aws:PrincipalType', ['USER', 'AssumedRole']],
  ['StringLike', 'stowage:ImageTag', ['v*', 'prod-?']],
  ['StringEquals', 'ecr:ResourceTag/team', ['open']],
  ['ArnLike', 'aws:PrincipalArn', ['arn:aws:iam::*:user/*', 'arn:aws:iam::000000000000:role/lane-*']],
  ['IpAddress', 'aws:SourceIp', ['127.0.0.0/8', '::1/64', '10.0.0.0/8']],
  ['NotIpAddress', 'aws:SourceIp', ['192.168.0.0/16']],
  ['Bool', 'aws:SecureTransport', ['true', 'false']],
  ['DateGreaterThan', 'aws:CurrentTime', ['2020-01-01T00:00:00Z', '1700000000']],
  ['NumericLessThan', 'aws:EpochTime', ['1e9', '9007199254740993', '-1']],
  ['Null', 'aws:TokenIssueTime', ['true', 'false']],
  ['StringEquals', 'aws:TagKeys', ['team']],
  ['StringLike', 'sts:RoleSessionName', ['fuzz', 'm*']],
]

const oddConditionValues = ['', '10.0.0.0/33', 'not a date', '${*}', '${', 'NaN', 'arn:', '\u0000', 'x'.repeat(2000)]

/** So often a piece is odd: most documents are to be taken. */
const oddity = 0.015

/** A document of the policy language: mostly right, sometimes only nearly. */
export function randomPolicy(random: Random, kind: PolicyKind, names: PolicyNames): string {
  const count = random.pick([1, 1, 1, 2, 3, 8])
  const statements = Array.from({ length: count }, (_, index) => randomStatement(random, kind, names, index))
  const version = random.chance(oddity) ? random.pick(['2030-01-01', '', 1]) : random.pick(['2012-10-17', '2012-10-17', '2008-10-17'])
  const document = {
    ...(random.chance(0.95) ? { Version: version } : {}),
    ...(random.chance(0.1) ? { Id: 'fuzzed' } : {}),
    Statement: count === 1 && random.chance(0.5) ? statements[0] : statements,
  }
  return JSON.stringify(document, undefined, random.chance(0.2) ? 2 : undefined)
}

/** A document with up to four edits. */
export function mutatedPolicy(random: Random, kind: PolicyKind, names: PolicyNames): string {
  const sample = randomPolicy(random, kind, names)
  return fc.sample(mutated([sample]), { numRuns: 1, seed: random.integer(0x7fffffff) })[0]!
}

/** The same, and a statement that takes everything away again. */
export function deniedPolicy(random: Random, names: PolicyNames): string {
  const allowing = Array.from({ length: 1 + random.integer(3) }, () => ({ ...soundStatement(random, names), Effect: 'Allow' }))
  const denying = { Effect: 'Deny', Action: '*', Resource: '*' }
  const statements: object[] = [...allowing]
  statements.splice(random.integer(allowing.length + 1), 0, denying)
  return JSON.stringify({ Version: '2012-10-17', Statement: statements })
}

function soundStatement(random: Random, names: PolicyNames): object {
  return { Effect: 'Allow', Action: some(random, actions.identity), Resource: some(random, ['*', ...names.repositoryArns]) }
}

function randomStatement(random: Random, kind: PolicyKind, names: PolicyNames, index: number): object {
  const isResource = kind === 'resource' || kind === 'trust'
  const effect = random.chance(oddity) ? random.pick(['allow', 'Perhaps', '']) : random.pick(['Allow', 'Allow', 'Allow', 'Allow', 'Deny'])
  const statement: Record<string, unknown> = {
    ...(random.chance(0.3) ? { Sid: random.chance(oddity) ? random.pick(['with space', '', 'ünïcode', 'same']) : `number${index}` } : {}),
    Effect: effect,
    ...(isResource ? { [random.chance(0.95) ? 'Principal' : 'NotPrincipal']: randomPrincipal(random, names) } : {}),
    [random.chance(0.9) ? 'Action' : 'NotAction']: random.chance(oddity) ? random.pick(oddActions) : some(random, actions[kind]),
  }
  // A trust policy names no resource, and a repository's need not; now and then one does the other thing.
  if (isResource === random.chance(oddity)) {
    statement[random.chance(0.9) ? 'Resource' : 'NotResource'] = random.chance(oddity) ? random.pick(oddResources) : some(random, ['*', '*', '*', ...names.repositoryArns.slice(0, 4), ...resourcePatterns])
  }
  if (random.chance(0.3)) statement['Condition'] = randomCondition(random)
  if (random.chance(oddity)) statement[random.pick(hostilePieces)] = random.pick(hostilePieces)
  return statement
}

const resourcePatterns = [
  'arn:aws:ecr:*:*:repository/*', 'arn:aws:ecr:us-east-1:*:repository/?*/app', 'arn:aws:ecr:us-east-1:000000000000:repository/${aws:PrincipalTag/team}/*',
  'arn:aws:iam::*:user/${aws:username}', 'arn:aws:iam::*:role/*', 'arn:aws:s3:::bucket/*',
]

const oddResources = ['', 'arn', 'arn:aws:ecr', '**', 'arn:*:*:*:*:*', 'arn:aws:ecr:us-east-1:0000:repository/x', '${', ['*', 1]]

function randomPrincipal(random: Random, { accountIds, principalArns }: PolicyNames): unknown {
  if (random.chance(oddity)) return random.pick(oddPrincipals)
  switch (random.integer(4)) {
    case 0:
      return random.pick(['*', { AWS: '*' }])
    case 1:
      return { AWS: some(random, [...accountIds, ...accountIds.map((id) => `arn:aws:iam::${id}:root`)]) }
    case 2:
      return { AWS: some(random, principalArns) }
    default:
      return { Service: 'ecr.amazonaws.com', AWS: some(random, principalArns) }
  }
}

const oddPrincipals = [
  [], {}, { AWS: [] }, { AWS: 'arn:aws:iam::000000000000:user/absent' }, { AWS: 'arn:aws:iam::*:user/x' }, { AWS: 'AIDAABSENTABSENTABSEN' }, { aws: '*' }, 'root',
  { Federated: 'arn:aws:iam::000000000000:oidc-provider/issuer.example' }, { CanonicalUser: 'x' },
]

function randomCondition(random: Random): object {
  const blocks = Array.from({ length: 1 + random.integer(3) }, () => {
    const [operator, key, values] = random.pick(conditions)
    const set = random.pick(['', '', '', 'ForAnyValue:', 'ForAllValues:'])
    // What a type's values are is known by the operator; another one is told what it cannot be.
    const isOdd = random.chance(oddity)
    const name = `${isOdd ? 'ForSomeValues:' : set}${isOdd ? random.pick(operators) : operator}${random.chance(0.2) ? 'IfExists' : ''}`
    return [name, { [key]: random.chance(oddity) ? random.pick(oddConditionValues) : some(random, values) }] as const
  })
  return Object.fromEntries(blocks)
}

/** One of them, or a list. */
function some(random: Random, items: readonly string[]): string | string[] {
  if (random.chance(0.5)) return random.pick(items)
  return Array.from({ length: 1 + random.integer(4) }, () => random.pick(items))
}
