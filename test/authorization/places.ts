import { buildImage } from '../support/images.ts'

/*
 * What the matrix asks about. The words in which it says who may do what are its own: nothing of the server's evaluation
 * of policies is used, so that a mistake in one of the two shows.
 */

export const region = 'us-east-1'

/** The installation's own account, whose root there is from the start. */
export const homeAccount = '000000000000'

export const otherAccount = '111122223333'

/** No account of the installation. */
export const absentAccount = '555566667777'

/** What every repository of the matrix holds under the tag `v1`. */
export const image = buildImage({ seed: 'matrix' })
export const layerDigest = image.blobs[1]!.digest
export const absentDigest = `sha256:${'0'.repeat(64)}`
export const absentUploadId = '7f1f9a0e-8f0c-4f7e-9f43-5a2c8b6d1e00'

/** A repository by its owner and name. */
export interface Place {
  readonly accountId: string
  readonly repository: string
}

/** A policy of a repository or a registry. */
export interface ResourcePolicy {
  /** What SetRepositoryPolicy or PutRegistryPolicy is given. */
  readonly document: object
  /** The same in other words: whom it lets do what. A whole account stands for all its principals. */
  readonly lets: { readonly principal: string; readonly actions: readonly string[] }
  /** What it denies to everybody. */
  readonly denies: readonly string[]
}

export interface RepositoryPlace extends Place {
  readonly label: string
  readonly policy?: ResourcePolicy
  /** A name as long as the other that nothing has: what is refused has to look the same there. */
  readonly absent: string
}

export function accountArn(accountId: string): string {
  return `arn:aws:iam::${accountId}:root`
}

export function userArn(accountId: string, name: string): string {
  return `arn:aws:iam::${accountId}:user/${name}`
}

export function repositoryArn({ accountId, repository }: Place): string {
  return `arn:aws:ecr:${region}:${accountId}:repository/${repository}`
}

/**
 * A user, group, role, policy and provider that both accounts have, all of one name, and a name that nothing has. Those that
 * are there have a path: told to somebody who may not ask, it would say that they are.
 */
export const presentName = 'somebody'
export const absentName = 'nobodyyy'
export const presentPath = '/hidden/'

/** The prefix of a creation template that both accounts have; no push that the matrix makes is below it. */
export const presentTemplate = 'team/templated'

/** A usage source that both accounts have. */
export const presentSource = 'cluster'

/** Whose pulls do not count, in both accounts. */
export function excludedArn(accountId: string): string {
  return `arn:aws:iam::${accountId}:role/excluded`
}

/** Who has no policy of its own, but is named in one of a repository. */
export const guestName = 'matrix-guest'

const keptLets = ['ecr:BatchGetImage', 'ecr:GetDownloadUrlForLayer', 'ecr:DescribeImages']
const keptDenies = ['ecr:PutImage', 'ecr:BatchDeleteImage', 'ecr:DeleteRepository']
const lentLets = ['ecr:BatchGetImage', 'ecr:GetDownloadUrlForLayer', 'ecr:BatchCheckLayerAvailability', 'ecr:ListImages', 'ecr:PutImage']

export const repositoryPlaces: readonly RepositoryPlace[] = [
  { label: 'in reach of the roles', accountId: homeAccount, repository: 'team/app', absent: 'team/gon' },
  { label: 'out of reach of the roles', accountId: homeAccount, repository: 'side/app', absent: 'side/gon' },
  {
    label: 'with a policy of its own',
    accountId: homeAccount,
    repository: 'team/kept',
    absent: 'team/gone',
    policy: {
      document: {
        Version: '2012-10-17',
        Statement: [
          { Sid: 'guest pulls', Effect: 'Allow', Principal: { AWS: userArn(homeAccount, guestName) }, Action: keptLets },
          { Sid: 'nobody writes', Effect: 'Deny', Principal: '*', Action: keptDenies },
        ],
      },
      lets: { principal: userArn(homeAccount, guestName), actions: keptLets },
      denies: keptDenies,
    },
  },
  { label: 'of another account', accountId: otherAccount, repository: 'team/app', absent: 'team/gon' },
  {
    label: 'of another account, lent',
    accountId: otherAccount,
    repository: 'team/lent',
    absent: 'team/gone',
    policy: {
      document: { Version: '2012-10-17', Statement: [{ Effect: 'Allow', Principal: { AWS: accountArn(homeAccount) }, Action: lentLets }] },
      lets: { principal: accountArn(homeAccount), actions: lentLets },
      denies: [],
    },
  },
]

const registryLets = ['ecr:DescribeRepositories', 'ecr:BatchGetImage', 'ecr:ListImages', 'ecr:DescribeImages']
const registryDenies = ['ecr:PutImage', 'ecr:TagResource', 'ecr:BatchDeleteImage']

/** A policy of the other account's whole registry, for a while. */
export const registryPolicy: ResourcePolicy = {
  document: {
    Version: '2012-10-17',
    Statement: [
      { Sid: 'OpenToHome', Effect: 'Allow', Principal: { AWS: accountArn(homeAccount) }, Action: registryLets, Resource: '*' },
      { Sid: 'FrozenForAll', Effect: 'Deny', Principal: '*', Action: registryDenies, Resource: '*' },
    ],
  },
  lets: { principal: accountArn(homeAccount), actions: registryLets },
  denies: registryDenies,
}
