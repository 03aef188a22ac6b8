import type { CommandContext } from '../../storage/metadata/command.ts'
import {
  findNamed,
  listNamed,
  type GroupRow,
  type NamedKind,
  type NamedRows,
  type PolicyRow,
  type RoleRow,
  type UserRow,
} from '../../storage/metadata/stores/iam-entity-store.ts'
import { groupsOfUser, membersOfGroup } from '../../storage/metadata/stores/iam-group-store.ts'
import { iamTags } from '../../storage/metadata/stores/iam-tag-store.ts'
import { findOidcProviderRow } from '../../storage/metadata/stores/oidc-provider-store.ts'
import { iamArn, oidcProviderArn, type AccountId, type Arn } from '../../values/index.ts'
import { arnOf, entityUnknown, quotaExceeded } from '../commands/change.ts'
import type { Tag } from '../commands/entity-tags.ts'
import * as groupCommands from '../commands/groups.ts'
import { tagEntity, untagEntity, type TagOwner } from '../commands/iam-tags.ts'
import { oidcProviderUnknown } from '../commands/oidc-providers.ts'
import * as roleCommands from '../commands/roles.ts'
import * as userCommands from '../commands/users.ts'
import { pinPrincipals, showPrincipals } from '../pinned-principals.ts'
import { malformed, parsePolicy, policySize } from '../policy/index.ts'
import { iamQuotas } from '../quotas.ts'
import { pageOfRows, type DirectoryDependencies, type DirectoryPage, type PageRequest } from './dependencies.ts'
import { newUniqueId } from './unique-id.ts'

/** What users, groups, roles and policies have in common. Times are in milliseconds since the Unix epoch. */
export interface Entity {
  readonly name: string
  readonly path: string
  readonly arn: string
  readonly uniqueId: string
  readonly createdAt: number
}

export interface User extends Entity {
  readonly boundaryArn: string | undefined
}

export interface Role extends Entity {
  readonly description: string | undefined
  /** With the ARNs that the users and roles in it have today. */
  readonly trustPolicy: string
  readonly maxSessionSeconds: number
  readonly boundaryArn: string | undefined
  readonly lastUsed: { readonly atMs: number; readonly region: string } | undefined
}

export type Group = Entity

interface NewEntity {
  readonly name: string
  readonly path: string
}

interface Rename {
  readonly newName?: string | undefined
  readonly newPath?: string | undefined
}

/**
 * Users, groups and roles: https://docs.aws.amazon.com/IAM/latest/APIReference/. Names are taken in any spelling of their
 * letters. Everything belongs to the account of the context; another's is as unknown as what is not there. All throw
 * `entity-unknown` for a name that nobody has; what creates throws `entity-exists` and `iam-limit-exceeded`.
 */
export class Entities {
  readonly #deps: DirectoryDependencies

  constructor(deps: DirectoryDependencies) {
    this.#deps = deps
  }

  /** The ARN under which a call on something is authorised: without a path where there is no such thing. */
  async arnOf(accountId: AccountId, kind: NamedKind, name: string): Promise<Arn> {
    const row = await findNamed(this.#deps.database.reader, kind, accountId, name)
    return iamArn(accountId, kind, row?.path ?? '/', row?.name ?? name)
  }

  async createUser(
    input: NewEntity & { readonly boundaryArn: string | undefined; readonly tags: readonly Tag[] },
    context: CommandContext,
  ): Promise<User> {
    const { database, ids } = this.#deps
    const { name, path, tags } = input
    const row = await database.execute(
      userCommands.createUser,
      { name, path, tags, uniqueId: newUniqueId('user', ids), boundaryArn: input.boundaryArn ?? null },
      context,
    )
    return toUser(row)
  }

  async getUser(accountId: AccountId, name: string): Promise<User> {
    return toUser(await this.#find('user', accountId, name))
  }

  async updateUser(name: string, change: Rename, context: CommandContext): Promise<void> {
    await this.#deps.database.execute(userCommands.updateUser, { name, ...change }, context)
  }

  /** Throws `entity-in-use` while it has keys, policies or groups. */
  async deleteUser(name: string, context: CommandContext): Promise<void> {
    await this.#deps.database.execute(userCommands.deleteUser, { name }, context)
  }

  async listUsers(accountId: AccountId, page: PageRequest & { pathPrefix: string }): Promise<DirectoryPage<User>> {
    return pageOfRows(await this.#list('user', accountId, page), page.limit, toUser, (row) => row.name_key)
  }

  async createGroup({ name, path }: NewEntity, context: CommandContext): Promise<Group> {
    const { database, ids } = this.#deps
    const input = { name, path, uniqueId: newUniqueId('group', ids) }
    return toGroup(await database.execute(groupCommands.createGroup, input, context))
  }

  /** A group with a page of its members. */
  async getGroup(accountId: AccountId, name: string, page: PageRequest): Promise<{ group: Group; members: DirectoryPage<User> }> {
    const { reader } = this.#deps.database
    const row = await this.#find('group', accountId, name)
    const rows = await membersOfGroup(reader, row.id, { after: positionOf(page), limit: page.limit + 1 })
    return { group: toGroup(row), members: pageOfRows(rows, page.limit, toUser, ({ id }) => String(id)) }
  }

  async updateGroup(name: string, change: Rename, context: CommandContext): Promise<void> {
    await this.#deps.database.execute(groupCommands.updateGroup, { name, ...change }, context)
  }

  /** Throws `entity-in-use` while it has policies or members. */
  async deleteGroup(name: string, context: CommandContext): Promise<void> {
    await this.#deps.database.execute(groupCommands.deleteGroup, { name }, context)
  }

  async listGroups(accountId: AccountId, page: PageRequest & { pathPrefix: string }): Promise<DirectoryPage<Group>> {
    return pageOfRows(await this.#list('group', accountId, page), page.limit, toGroup, (row) => row.name_key)
  }

  async addUserToGroup(userName: string, groupName: string, context: CommandContext): Promise<void> {
    await this.#deps.database.execute(groupCommands.addUserToGroup, { userName, groupName }, context)
  }

  async removeUserFromGroup(userName: string, groupName: string, context: CommandContext): Promise<void> {
    await this.#deps.database.execute(groupCommands.removeUserFromGroup, { userName, groupName }, context)
  }

  async groupsOfUser(accountId: AccountId, userName: string): Promise<readonly Group[]> {
    const user = await this.#find('user', accountId, userName)
    return (await groupsOfUser(this.#deps.database.reader, user.id)).map(toGroup)
  }

  /** Throws `policy-malformed`, too. */
  async createRole(
    input: NewEntity & {
      readonly description: string | undefined
      readonly trustPolicy: string
      readonly maxSessionSeconds: number
      readonly boundaryArn: string | undefined
      readonly tags: readonly Tag[]
    },
    context: CommandContext,
  ): Promise<Role> {
    const trustPolicy = await this.#pinnedTrustPolicy(input.trustPolicy)
    const { database, ids } = this.#deps
    const row = await database.execute(
      roleCommands.createRole,
      {
        ...input,
        trustPolicy,
        uniqueId: newUniqueId('role', ids),
        description: input.description ?? null,
        boundaryArn: input.boundaryArn ?? null,
      },
      context,
    )
    return this.#role(row)
  }

  async getRole(accountId: AccountId, name: string): Promise<Role> {
    return this.#role(await this.#find('role', accountId, name))
  }

  /** Changes what is given. `action` is the call's name. Throws `policy-malformed`, too. */
  async updateRole(
    name: string,
    change: {
      readonly action: 'UpdateRole' | 'UpdateRoleDescription' | 'UpdateAssumeRolePolicy'
      readonly description?: string | undefined
      readonly maxSessionSeconds?: number | undefined
      readonly trustPolicy?: string | undefined
    },
    context: CommandContext,
  ): Promise<Role> {
    const trustPolicy = change.trustPolicy === undefined ? undefined : await this.#pinnedTrustPolicy(change.trustPolicy)
    return this.#role(await this.#deps.database.execute(roleCommands.updateRole, { name, ...change, trustPolicy }, context))
  }

  /** Throws `entity-in-use` while it has policies. */
  async deleteRole(name: string, context: CommandContext): Promise<void> {
    await this.#deps.database.execute(roleCommands.deleteRole, { name }, context)
  }

  async listRoles(accountId: AccountId, page: PageRequest & { pathPrefix: string }): Promise<DirectoryPage<Role>> {
    const rows = await this.#list('role', accountId, page)
    const trustPolicies = await showPrincipals(this.#deps.database.reader, rows.map((row) => row.trust_policy))
    const shown = rows.map((row, index) => ({ row, trustPolicy: trustPolicies[index] ?? row.trust_policy }))
    return pageOfRows(shown, page.limit, ({ row, trustPolicy }) => toRole(row, trustPolicy), ({ row }) => row.name_key)
  }

  /** In the order of their keys. */
  async tagsOf(accountId: AccountId, owner: TagOwner): Promise<readonly Tag[]> {
    const { reader } = this.#deps.database
    if (owner.kind !== 'oidc-provider') {
      return iamTags(reader, { kind: owner.kind, id: (await this.#find(owner.kind, accountId, owner.name)).id })
    }
    const row = await findOidcProviderRow(reader, accountId, owner.name)
    if (!row) throw oidcProviderUnknown(oidcProviderArn(accountId, owner.name))
    return iamTags(reader, { kind: owner.kind, id: row.id })
  }

  /** `action` is the call's name. Throws `iam-limit-exceeded`. */
  async tag(owner: TagOwner, tags: readonly Tag[], action: string, context: CommandContext): Promise<void> {
    await this.#deps.database.execute(tagEntity, { action, owner, tags }, context)
  }

  /** `action` is the call's name. Keys that are not there are no error. */
  async untag(owner: TagOwner, keys: readonly string[], action: string, context: CommandContext): Promise<void> {
    await this.#deps.database.execute(untagEntity, { action, owner, keys }, context)
  }

  /** As it is kept. Throws `policy-malformed`, `iam-limit-exceeded`. */
  async #pinnedTrustPolicy(document: string): Promise<string> {
    checkTrustPolicy(document)
    const pinned = await pinPrincipals(this.#deps.database.reader, document)
    if (pinned.missing === undefined) return pinned.document
    throw malformed(`Invalid principal in policy: "AWS":"${pinned.missing}"`, 'There is no such user or role.')
  }

  async #role(row: RoleRow): Promise<Role> {
    const [trustPolicy = row.trust_policy] = await showPrincipals(this.#deps.database.reader, [row.trust_policy])
    return toRole(row, trustPolicy)
  }

  async #find<Kind extends NamedKind>(kind: Kind, accountId: AccountId, name: string): Promise<NamedRows[Kind]> {
    const row = await findNamed(this.#deps.database.reader, kind, accountId, name)
    if (!row) throw entityUnknown(kind, name)
    return row
  }

  #list<Kind extends NamedKind>(
    kind: Kind,
    accountId: AccountId,
    page: PageRequest & { pathPrefix: string },
  ): Promise<NamedRows[Kind][]> {
    const { after = '', limit, pathPrefix } = page
    return listNamed(this.#deps.database.reader, kind, accountId, { pathPrefix, after, limit: limit + 1 })
  }
}

/** A position that is a row's number; where it is none, the beginning. */
function positionOf({ after }: PageRequest): number {
  return after !== undefined && /^\d{1,15}$/.test(after) ? Number(after) : 0
}

function checkTrustPolicy(document: string): void {
  parsePolicy(document, 'trust')
  if (policySize(document) > iamQuotas.AssumeRolePolicySize) throw quotaExceeded('AssumeRolePolicySize')
}

function toEntity(kind: NamedKind, row: GroupRow | UserRow | RoleRow | PolicyRow): Entity {
  return { name: row.name, path: row.path, arn: arnOf(kind, row), uniqueId: row.unique_id, createdAt: row.created_at }
}

function toUser(row: UserRow): User {
  return { ...toEntity('user', row), boundaryArn: row.boundary_arn ?? undefined }
}

function toGroup(row: GroupRow): Group {
  return toEntity('group', row)
}

function toRole(row: RoleRow, trustPolicy: string): Role {
  return {
    ...toEntity('role', row),
    description: row.description ?? undefined,
    trustPolicy,
    maxSessionSeconds: row.max_session_seconds,
    boundaryArn: row.boundary_arn ?? undefined,
    lastUsed: row.last_used_at === null ? undefined : { atMs: row.last_used_at, region: row.last_used_region ?? '' },
  }
}
