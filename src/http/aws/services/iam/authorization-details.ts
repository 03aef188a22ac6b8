import { encodePolicyDocument, type IamDirectory } from '../../../../iam/index.ts'
import type { AccountId } from '../../../../values/index.ts'
import { operation, type AwsOperation } from '../../service.ts'
import { enumeration, list, structure } from '../../shapes.ts'
import { accountOf, boundaryMember, orNone, pageEnd, pageRequest, tagMembers, type IamServiceDependencies } from './calls.ts'
import { groupMember } from './groups.ts'
import { policyMember, versionMember } from './policies.ts'
import { roleSummary } from './roles.ts'
import * as shapes from './shapes.ts'
import { userMember } from './users.ts'

/** The parts of the list, in this order; a position names the part and where in it the page ended. */
const parts = ['User', 'Group', 'Role', 'LocalManagedPolicy', 'AWSManagedPolicy'] as const

type Part = (typeof parts)[number]

interface Found {
  readonly details: readonly object[]
  readonly next: string | undefined
}

/** Everything that an account's people may do, for those who look over it. */
export function authorizationDetailOperations({ directory }: IamServiceDependencies): Record<string, AwsOperation> {
  return {
    GetAccountAuthorizationDetails: operation({
      action: 'iam:GetAccountAuthorizationDetails',
      resource: () => '*',
      input: structure({ Filter: list(enumeration(parts), { max: parts.length }), ...shapes.pageMembers }),
      async handler(call, input) {
        const accountId = accountOf(call)
        const { after, limit } = pageRequest('authorization-details', input)
        const wanted = parts.filter((part) => input.Filter === undefined || input.Filter.includes(part))
        const found = new Map<Part, readonly object[]>()
        const [from = wanted[0], start] = after?.split(':', 2) ?? []
        let room = limit
        let next: string | undefined
        for (const part of wanted.slice(Math.max(0, wanted.indexOf(from as Part)))) {
          if (room === 0) {
            next = `${part}:`
            break
          }
          const position = part === from && start !== '' ? start : undefined
          const page = await detailsOf(directory, accountId, part, { after: position, limit: room })
          found.set(part, page.details)
          room -= page.details.length
          if (page.next !== undefined) {
            next = `${part}:${page.next}`
            break
          }
        }
        return {
          UserDetailList: found.get('User') ?? [],
          GroupDetailList: found.get('Group') ?? [],
          RoleDetailList: found.get('Role') ?? [],
          Policies: [...(found.get('LocalManagedPolicy') ?? []), ...(found.get('AWSManagedPolicy') ?? [])],
          ...pageEnd('authorization-details', next),
        }
      },
    }),
  }
}

async function detailsOf(
  { entities, policies }: IamDirectory,
  accountId: AccountId,
  part: Part,
  page: { readonly after: string | undefined; readonly limit: number },
): Promise<Found> {
  const everywhere = { ...page, pathPrefix: '/' }

  const policiesOf = async (kind: 'user' | 'group' | 'role', name: string) => {
    const inline = await policies.inline(accountId, { kind, name })
    const attached = await policies.attached(accountId, { kind, name }, '/')
    return {
      inline: inline.map((each) => ({ PolicyName: each.name, PolicyDocument: encodePolicyDocument(each.document) })),
      AttachedManagedPolicies: attached.map((each) => ({ PolicyName: each.name, PolicyArn: each.arn })),
    }
  }

  switch (part) {
    case 'User': {
      const { items, next } = await entities.listUsers(accountId, everywhere)
      const details = await inTurn(items, async (user) => {
        const { inline, ...attached } = await policiesOf('user', user.name)
        const groups = await entities.groupsOfUser(accountId, user.name)
        const tags = await entities.tagsOf(accountId, { kind: 'user', name: user.name })
        const GroupList = groups.map(({ name }) => name)
        const PermissionsBoundary = boundaryMember(user.boundaryArn)
        return { ...userMember(user), UserPolicyList: inline, GroupList, ...attached, PermissionsBoundary, Tags: tagMembers(tags) }
      })
      return { details, next }
    }
    case 'Group': {
      const { items, next } = await entities.listGroups(accountId, everywhere)
      const details = await inTurn(items, async (group) => {
        const { inline, ...attached } = await policiesOf('group', group.name)
        return { ...groupMember(group), GroupPolicyList: inline, ...attached }
      })
      return { details, next }
    }
    case 'Role': {
      const { items, next } = await entities.listRoles(accountId, everywhere)
      const details = await inTurn(items, async (role) => {
        const { inline, ...attached } = await policiesOf('role', role.name)
        const tags = await entities.tagsOf(accountId, { kind: 'role', name: role.name })
        const { lastUsed } = role
        return {
          ...roleSummary(role),
          InstanceProfileList: [],
          RolePolicyList: inline,
          ...attached,
          PermissionsBoundary: boundaryMember(role.boundaryArn),
          Tags: tagMembers(tags),
          RoleLastUsed: lastUsed ? { LastUsedDate: new Date(lastUsed.atMs), Region: lastUsed.region } : {},
        }
      })
      return { details, next }
    }
    case 'LocalManagedPolicy':
    case 'AWSManagedPolicy': {
      const isOwn = part === 'LocalManagedPolicy'
      // Of those that every account has, only what this one uses.
      const which = { scope: isOwn ? 'Local' : 'AWS', onlyAttached: !isOwn, usage: undefined } as const
      const { items, next } = await policies.list(accountId, { ...everywhere, ...which })
      const details = await inTurn(items, async (policy) => {
        const versions = await policies.versions(accountId, policy.arn)
        return {
          ...policyMember(policy),
          Description: policy.description,
          PolicyVersionList: versions.map((version) => ({
            Document: encodePolicyDocument(version.document),
            ...versionMember(version),
          })),
        }
      })
      return { details, next }
    }
  }
}

/** One after the other: what is gone meanwhile is left out. */
async function inTurn<Item>(items: readonly Item[], detail: (item: Item) => Promise<object>): Promise<object[]> {
  const details: object[] = []
  for (const item of items) {
    const found = await orNone(detail(item))
    if (found !== undefined) details.push(found)
  }
  return details
}
