import {
  encodePolicyDocument,
  pageOfItems,
  type Policy,
  type PolicyHolder,
  type PolicyVersion,
} from '../../../../iam/index.ts'
import { operation, type AwsCall, type AwsOperation } from '../../service.ts'
import { boolean, enumeration, required, structure } from '../../shapes.ts'
import {
  accountOf,
  changeOf,
  checkedTags,
  orNone,
  pageEnd,
  pageRequest,
  requestTagKeys,
  resourceTagKeys,
  tagMembers,
  type IamServiceDependencies,
} from './calls.ts'
import * as shapes from './shapes.ts'

/** A managed policy as IAM answers it in lists. */
export function policyMember(policy: Policy): object {
  return {
    PolicyName: policy.name,
    PolicyId: policy.uniqueId,
    Arn: policy.arn,
    Path: policy.path,
    DefaultVersionId: `v${policy.defaultVersion}`,
    AttachmentCount: policy.attachmentCount,
    PermissionsBoundaryUsageCount: policy.boundaryCount,
    IsAttachable: true,
    CreateDate: new Date(policy.createdAt),
    UpdateDate: new Date(policy.updatedAt),
  }
}

/** A policy's version as IAM answers it in lists. */
export function versionMember({ version, isDefault, createdAt }: PolicyVersion): object {
  return { VersionId: `v${version}`, IsDefaultVersion: isDefault, CreateDate: new Date(createdAt) }
}

function versionNumber(versionId: string): number {
  return Number(versionId.slice(1))
}

/** Managed policies and their versions. */
export function managedPolicyOperations(deps: IamServiceDependencies): Record<string, AwsOperation> {
  const { policies, entities } = deps.directory

  const tagConditions = async (call: AwsCall, policyArn: string) => {
    const name = await orNone(policies.nameOf(accountOf(call), policyArn))
    return name === undefined ? [] : [await resourceTagKeys(deps, call, { kind: 'policy', name })]
  }
  const newPolicyArn = (call: AwsCall, path: string | undefined, name: string) =>
    `arn:aws:iam::${accountOf(call)}:policy${path ?? '/'}${name}`

  return {
    CreatePolicy: operation({
      action: 'iam:CreatePolicy',
      resource: (input, call) => newPolicyArn(call, input.Path, input.PolicyName),
      conditions: ({ Tags }) => [requestTagKeys(Tags)],
      input: structure({
        PolicyName: required(shapes.name),
        Path: shapes.policyPath,
        PolicyDocument: required(shapes.policyDocument),
        Description: shapes.policyDescription,
        Tags: shapes.tags,
      }),
      async handler(call, input) {
        const tags = checkedTags(input.Tags ?? [])
        if (tags.length > 0) {
          const arn = newPolicyArn(call, input.Path, input.PolicyName)
          await call.authorize('iam:TagPolicy', arn, () => [requestTagKeys(input.Tags)])
        }
        const policy = await policies.create(
          {
            name: input.PolicyName,
            path: input.Path ?? '/',
            description: input.Description,
            document: input.PolicyDocument,
            tags,
          },
          changeOf(call),
        )
        return { Policy: { ...policyMember(policy), Description: policy.description, Tags: tagMembers(tags) } }
      },
    }),

    GetPolicy: operation({
      action: 'iam:GetPolicy',
      resource: (input) => input.PolicyArn,
      conditions: (input, call) => tagConditions(call, input.PolicyArn),
      input: structure({ PolicyArn: required(shapes.arn) }),
      async handler(call, input) {
        const accountId = accountOf(call)
        const policy = await policies.get(accountId, input.PolicyArn)
        const isOwn = (await orNone(policies.nameOf(accountId, input.PolicyArn))) !== undefined
        const tags = isOwn ? await entities.tagsOf(accountId, { kind: 'policy', name: policy.name }) : []
        return { Policy: { ...policyMember(policy), Description: policy.description, Tags: tagMembers(tags) } }
      },
    }),

    ListPolicies: operation({
      action: 'iam:ListPolicies',
      resource: (_input, call) => `arn:aws:iam::${accountOf(call)}:policy/`,
      input: structure({
        Scope: shapes.policyScope,
        OnlyAttached: shapes.onlyAttached,
        PathPrefix: shapes.pathPrefix,
        PolicyUsageFilter: shapes.policyUsage,
        ...shapes.pageMembers,
      }),
      async handler(call, input) {
        const { items, next } = await policies.list(accountOf(call), {
          ...pageRequest('policies', input),
          scope: input.Scope ?? 'All',
          onlyAttached: input.OnlyAttached ?? false,
          pathPrefix: input.PathPrefix ?? '/',
          usage: input.PolicyUsageFilter,
        })
        return { Policies: items.map(policyMember), ...pageEnd('policies', next) }
      },
    }),

    DeletePolicy: operation({
      action: 'iam:DeletePolicy',
      resource: (input) => input.PolicyArn,
      conditions: (input, call) => tagConditions(call, input.PolicyArn),
      input: structure({ PolicyArn: required(shapes.arn) }),
      async handler(call, input) {
        await policies.remove(input.PolicyArn, changeOf(call))
      },
    }),

    CreatePolicyVersion: operation({
      action: 'iam:CreatePolicyVersion',
      resource: (input) => input.PolicyArn,
      conditions: (input, call) => tagConditions(call, input.PolicyArn),
      input: structure({
        PolicyArn: required(shapes.arn),
        PolicyDocument: required(shapes.policyDocument),
        SetAsDefault: boolean(),
      }),
      async handler(call, input) {
        const { PolicyArn, PolicyDocument: document, SetAsDefault: setAsDefault = false } = input
        const version = await policies.createVersion(PolicyArn, { document, setAsDefault }, changeOf(call))
        return { PolicyVersion: versionMember(version) }
      },
    }),

    GetPolicyVersion: operation({
      action: 'iam:GetPolicyVersion',
      resource: (input) => input.PolicyArn,
      conditions: (input, call) => tagConditions(call, input.PolicyArn),
      input: structure({ PolicyArn: required(shapes.arn), VersionId: required(shapes.versionId) }),
      async handler(call, input) {
        const version = await policies.version(accountOf(call), input.PolicyArn, versionNumber(input.VersionId))
        return { PolicyVersion: { Document: encodePolicyDocument(version.document), ...versionMember(version) } }
      },
    }),

    ListPolicyVersions: operation({
      action: 'iam:ListPolicyVersions',
      resource: (input) => input.PolicyArn,
      conditions: (input, call) => tagConditions(call, input.PolicyArn),
      input: structure({ PolicyArn: required(shapes.arn), ...shapes.pageMembers }),
      async handler(call, input) {
        const versions = await policies.versions(accountOf(call), input.PolicyArn)
        const { items, next } = pageOfItems(versions, newestFirst, pageRequest('policy-versions', input))
        return { Versions: items.map(versionMember), ...pageEnd('policy-versions', next) }
      },
    }),

    SetDefaultPolicyVersion: operation({
      action: 'iam:SetDefaultPolicyVersion',
      resource: (input) => input.PolicyArn,
      conditions: (input, call) => tagConditions(call, input.PolicyArn),
      input: structure({ PolicyArn: required(shapes.arn), VersionId: required(shapes.versionId) }),
      async handler(call, input) {
        await policies.setDefaultVersion(input.PolicyArn, versionNumber(input.VersionId), changeOf(call))
      },
    }),

    DeletePolicyVersion: operation({
      action: 'iam:DeletePolicyVersion',
      resource: (input) => input.PolicyArn,
      conditions: (input, call) => tagConditions(call, input.PolicyArn),
      input: structure({ PolicyArn: required(shapes.arn), VersionId: required(shapes.versionId) }),
      async handler(call, input) {
        await policies.removeVersion(input.PolicyArn, versionNumber(input.VersionId), changeOf(call))
      },
    }),

    ListEntitiesForPolicy: operation({
      action: 'iam:ListEntitiesForPolicy',
      resource: (input) => input.PolicyArn,
      conditions: (input, call) => tagConditions(call, input.PolicyArn),
      input: structure({
        PolicyArn: required(shapes.arn),
        EntityFilter: enumeration(['User', 'Role', 'Group', 'LocalManagedPolicy', 'AWSManagedPolicy']),
        PathPrefix: shapes.pathPrefix,
        PolicyUsageFilter: shapes.policyUsage,
        ...shapes.pageMembers,
      }),
      async handler(call, input) {
        const accountId = accountOf(call)
        await policies.get(accountId, input.PolicyArn)
        const wanted = holderKinds.filter(({ filter }) => input.EntityFilter === undefined || input.EntityFilter === filter)
        const holders: Holder[] = []
        for (const { kind } of wanted) {
          const found = await policies.holders(accountId, input.PolicyArn, kind, input.PolicyUsageFilter)
          holders.push(...found.map((holder) => ({ ...holder, kind })))
        }
        const below = holders.filter(({ path }) => path.startsWith(input.PathPrefix ?? '/'))
        const { items, next } = pageOfItems(below.toSorted(byPosition), positionOf, pageRequest('policy-entities', input))
        const of = (kind: Holder['kind']) => items.filter((holder) => holder.kind === kind)
        return {
          PolicyGroups: of('group').map(({ name, unique_id }) => ({ GroupName: name, GroupId: unique_id })),
          PolicyUsers: of('user').map(({ name, unique_id }) => ({ UserName: name, UserId: unique_id })),
          PolicyRoles: of('role').map(({ name, unique_id }) => ({ RoleName: name, RoleId: unique_id })),
          ...pageEnd('policy-entities', next),
        }
      },
    }),
  }
}

type Holder = PolicyHolder & { readonly kind: 'user' | 'group' | 'role' }

const holderKinds = [
  { kind: 'group', filter: 'Group' },
  { kind: 'user', filter: 'User' },
  { kind: 'role', filter: 'Role' },
] as const

/** Names of different kinds may be the same. */
function positionOf({ kind, name }: Holder): string {
  return `${kind}/${name.toLowerCase()}`
}

function byPosition(a: Holder, b: Holder): number {
  return positionOf(a) < positionOf(b) ? -1 : 1
}

/** A position that grows from the newest version to the oldest. */
function newestFirst({ version }: PolicyVersion): string {
  return String(1_000_000_000 - version).padStart(10, '0')
}
