import { hash } from 'node:crypto'
import { encodePolicyDocument, pageOfItems, type AttachedPolicy, type AuthorizationContext } from '../../../../iam/index.ts'
import { operation, type AwsCall, type AwsOperation } from '../../service.ts'
import { required, structure } from '../../shapes.ts'
import { accountOf, changeOf, orNone, pageEnd, pageRequest, resourceTagKeys, type IamServiceDependencies } from './calls.ts'
import * as shapes from './shapes.ts'

/**
 * By name. The account's own policy and one that every account has may have the same: their ARNs, of which a marker has no room
 * for a long one, tell them apart.
 */
function positionOf({ name, arn }: AttachedPolicy): string {
  return `${name} ${hash('sha256', arn).slice(0, 16)}`
}

function byPosition(a: AttachedPolicy, b: AttachedPolicy): number {
  return positionOf(a) < positionOf(b) ? -1 : 1
}

const kinds = [
  { kind: 'user', title: 'User', member: 'UserName' },
  { kind: 'group', title: 'Group', member: 'GroupName' },
  { kind: 'role', title: 'Role', member: 'RoleName' },
] as const

type Kind = (typeof kinds)[number]

/** The policies of users, groups and roles, and what bounds users and roles. The same calls for each. */
export function entityPolicyOperations(deps: IamServiceDependencies): Record<string, AwsOperation> {
  return Object.fromEntries(kinds.flatMap((kind) => Object.entries(operationsOf(kind, deps))))
}

function operationsOf({ kind, title, member }: Kind, deps: IamServiceDependencies): Record<string, AwsOperation> {
  const { entities, policies } = deps.directory
  const ownerMember = { [member]: required(kind === 'role' ? shapes.shortName : shapes.name) } as {
    readonly OwnerName: ReturnType<typeof required<string>>
  }
  /** The member's name differs by kind; its type does not. */
  const nameIn = (input: object): string => (input as Readonly<Record<string, string>>)[member] ?? ''
  const ownerIn = (input: object) => ({ kind, name: nameIn(input) })
  const resource = (input: object, call: AwsCall) => entities.arnOf(accountOf(call), kind, nameIn(input))

  /** What hangs from the owner already: its tags and what bounds it. */
  const ownConditions = async (input: object, call: AwsCall, more: AuthorizationContext = {}) => {
    if (kind === 'group') return [more]
    const name = nameIn(input)
    const accountId = accountOf(call)
    const owner = await orNone(kind === 'user' ? entities.getUser(accountId, name) : entities.getRole(accountId, name))
    const boundary = owner?.boundaryArn
    return [
      {
        ...(await resourceTagKeys(deps, call, { kind, name })),
        ...(boundary !== undefined && { 'iam:PermissionsBoundary': boundary }),
        ...more,
      },
    ]
  }

  const attaching = (verb: 'Attach' | 'Detach') =>
    operation({
      action: `iam:${verb}${title}Policy`,
      resource,
      conditions: (input, call) => ownConditions(input, call, { 'iam:PolicyARN': input.PolicyArn }),
      input: structure({ ...ownerMember, PolicyArn: required(shapes.arn) }),
      async handler(call, input) {
        const action = `${verb}${title}Policy`
        if (verb === 'Attach') await policies.attach(ownerIn(input), input.PolicyArn, action, changeOf(call))
        else await policies.detach(ownerIn(input), input.PolicyArn, action, changeOf(call))
      },
    })

  const operations: Record<string, AwsOperation> = {
    [`Attach${title}Policy`]: attaching('Attach'),
    [`Detach${title}Policy`]: attaching('Detach'),

    [`ListAttached${title}Policies`]: operation({
      action: `iam:ListAttached${title}Policies`,
      resource,
      conditions: ownConditions,
      input: structure({ ...ownerMember, PathPrefix: shapes.pathPrefix, ...shapes.pageMembers }),
      async handler(call, input) {
        const list = `attached-${kind}`
        const attached = await policies.attached(accountOf(call), ownerIn(input), input.PathPrefix ?? '/')
        const { items, next } = pageOfItems(attached.toSorted(byPosition), positionOf, pageRequest(list, input))
        return {
          AttachedPolicies: items.map(({ name, arn }) => ({ PolicyName: name, PolicyArn: arn })),
          ...pageEnd(list, next),
        }
      },
    }),

    [`Put${title}Policy`]: operation({
      action: `iam:Put${title}Policy`,
      resource,
      conditions: ownConditions,
      input: structure({
        ...ownerMember,
        PolicyName: required(shapes.name),
        PolicyDocument: required(shapes.policyDocument),
      }),
      async handler(call, input) {
        const policy = { name: input.PolicyName, document: input.PolicyDocument }
        await policies.putInline(ownerIn(input), policy, `Put${title}Policy`, changeOf(call))
      },
    }),

    [`Get${title}Policy`]: operation({
      action: `iam:Get${title}Policy`,
      resource,
      conditions: ownConditions,
      input: structure({ ...ownerMember, PolicyName: required(shapes.name) }),
      async handler(call, input) {
        const { name, document } = await policies.inlinePolicy(accountOf(call), ownerIn(input), input.PolicyName)
        return { [member]: nameIn(input), PolicyName: name, PolicyDocument: encodePolicyDocument(document) }
      },
    }),

    [`List${title}Policies`]: operation({
      action: `iam:List${title}Policies`,
      resource,
      conditions: ownConditions,
      input: structure({ ...ownerMember, ...shapes.pageMembers }),
      async handler(call, input) {
        const list = `inline-${kind}`
        const inline = await policies.inline(accountOf(call), ownerIn(input))
        const { items, next } = pageOfItems(inline, ({ name }) => name, pageRequest(list, input))
        return { PolicyNames: items.map(({ name }) => name), ...pageEnd(list, next) }
      },
    }),

    [`Delete${title}Policy`]: operation({
      action: `iam:Delete${title}Policy`,
      resource,
      conditions: ownConditions,
      input: structure({ ...ownerMember, PolicyName: required(shapes.name) }),
      async handler(call, input) {
        await policies.removeInline(ownerIn(input), input.PolicyName, `Delete${title}Policy`, changeOf(call))
      },
    }),
  }
  if (kind === 'group') return operations

  return {
    ...operations,

    [`Put${title}PermissionsBoundary`]: operation({
      action: `iam:Put${title}PermissionsBoundary`,
      resource,
      conditions: (input, call) => ownConditions(input, call, { 'iam:PermissionsBoundary': input.PermissionsBoundary }),
      input: structure({ ...ownerMember, PermissionsBoundary: required(shapes.arn) }),
      async handler(call, input) {
        const action = `Put${title}PermissionsBoundary`
        await policies.putBoundary({ kind, name: nameIn(input) }, input.PermissionsBoundary, action, changeOf(call))
      },
    }),

    [`Delete${title}PermissionsBoundary`]: operation({
      action: `iam:Delete${title}PermissionsBoundary`,
      resource,
      conditions: ownConditions,
      input: structure(ownerMember),
      async handler(call, input) {
        const action = `Delete${title}PermissionsBoundary`
        await policies.putBoundary({ kind, name: nameIn(input) }, undefined, action, changeOf(call))
      },
    }),
  }
}
