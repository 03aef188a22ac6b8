import type { CommandContext } from '../../storage/metadata/command.ts'
import {
  findNamed,
  listNamed,
  nameKey,
  type PolicyRow,
} from '../../storage/metadata/stores/iam-entity-store.ts'
import {
  attachedPolicyArns,
  boundaryHolders,
  inlinePolicies,
  policyHolders,
  policyUsages,
  policyVersions,
  type PolicyHolder,
  type PolicyOwnerKind,
  type PolicyUsage,
} from '../../storage/metadata/stores/iam-policy-store.ts'
import type { AccountId } from '../../values/index.ts'
import { arnOf, entityUnknown, quotaExceeded } from '../commands/change.ts'
import type { Tag } from '../commands/entity-tags.ts'
import * as policyCommands from '../commands/policies.ts'
import * as attachmentCommands from '../commands/policy-attachments.ts'
import type { PolicyOwner } from '../commands/policy-attachments.ts'
import { iamError } from '../errors.ts'
import { managedPolicies, managedPolicy, type ManagedPolicy } from '../managed-policies.ts'
import { policyNameIn } from '../policy-arn.ts'
import { parsePolicy, policySize } from '../policy/index.ts'
import { iamQuotas } from '../quotas.ts'
import type { DirectoryDependencies, DirectoryPage, PageRequest } from './dependencies.ts'
import type { Entity } from './entities.ts'
import { newUniqueId } from './unique-id.ts'

export interface Policy extends Entity {
  readonly description: string | undefined
  readonly defaultVersion: number
  readonly updatedAt: number
  /** How many users, groups and roles of the account have it. */
  readonly attachmentCount: number
  /** How many users and roles of the account it bounds. */
  readonly boundaryCount: number
}

export interface PolicyVersion {
  readonly version: number
  readonly document: string
  readonly isDefault: boolean
  readonly createdAt: number
}

export interface AttachedPolicy {
  readonly arn: string
  readonly name: string
}

export interface InlinePolicy {
  readonly name: string
  readonly document: string
}

/** A document with the id under which the policy simulator tells of it. */
export interface SourcedDocument {
  readonly source: string
  readonly document: string
}

export type PolicyScope = 'All' | 'AWS' | 'Local'

/**
 * Managed policies, those of users, groups and roles, and who has which. As `Entities`: an account sees its own and those
 * that every account has.
 */
export class Policies {
  readonly #deps: DirectoryDependencies

  constructor(deps: DirectoryDependencies) {
    this.#deps = deps
  }

  /** Throws `policy-malformed`, `iam-limit-exceeded`, `entity-exists`. */
  async create(
    input: { name: string; path: string; description: string | undefined; document: string; tags: readonly Tag[] },
    context: CommandContext,
  ): Promise<Policy> {
    checkManagedDocument(input.document)
    const { database, ids } = this.#deps
    const row = await database.execute(
      policyCommands.createPolicy,
      { ...input, uniqueId: newUniqueId('policy', ids), description: input.description ?? null },
      context,
    )
    return { ...toPolicy(row), ...unused }
  }

  /** Throws `entity-unknown`. */
  async get(accountId: AccountId, arn: string): Promise<Policy> {
    const builtIn = managedPolicy(arn)
    const uncounted = builtIn ? fromBuiltIn(builtIn) : toPolicy(await this.#own(accountId, arn))
    const [policy] = await this.#withUsage(accountId, [uncounted])
    return policy ?? { ...uncounted, ...unused }
  }

  /** First the account's own, then those that every account has, each in the order of their names. */
  async list(
    accountId: AccountId,
    options: PageRequest & {
      readonly scope: PolicyScope
      readonly onlyAttached: boolean
      readonly pathPrefix: string
      readonly usage: 'PermissionsPolicy' | 'PermissionsBoundary' | undefined
    },
  ): Promise<DirectoryPage<Policy>> {
    const { scope, pathPrefix, limit } = options
    const found: { readonly position: string; readonly policy: Policy }[] = []
    let after = options.after ?? ownList
    while (found.length <= limit) {
      const chunk = after.startsWith(ownList)
        ? await this.#ownChunk(accountId, { pathPrefix, after: after.slice(1), limit: scope === 'AWS' ? 0 : limit + 1 })
        : builtInChunk({ pathPrefix, after: after.slice(1) })
      const policies = await this.#withUsage(accountId, chunk)
      for (const policy of policies) {
        const position = after.startsWith(ownList) ? ownList + nameKey(policy.name) : builtInList + policy.name
        if (isWanted(policy, options)) found.push({ position, policy })
      }
      const last = policies.at(-1)
      if (after.startsWith(ownList)) {
        if (last !== undefined && policies.length > limit) after = ownList + nameKey(last.name)
        else if (scope === 'Local') break
        else after = builtInList
      } else break
    }
    const shown = found.slice(0, limit)
    return { items: shown.map(({ policy }) => policy), next: found.length > limit ? shown.at(-1)?.position : undefined }
  }

  /** Throws `entity-unknown`, `entity-in-use`. */
  async remove(arn: string, context: CommandContext): Promise<void> {
    const { name } = await this.#own(context.accountId as AccountId, arn)
    await this.#deps.database.execute(policyCommands.deletePolicy, { name }, context)
  }

  /** The newest first. Throws `entity-unknown`. */
  async versions(accountId: AccountId, arn: string): Promise<readonly PolicyVersion[]> {
    const builtIn = managedPolicy(arn)
    if (builtIn) {
      return [{ version: builtIn.version, document: builtIn.document, isDefault: true, createdAt: builtIn.createdAt }]
    }
    const policy = await this.#own(accountId, arn)
    const rows = await policyVersions(this.#deps.database.reader, policy.id)
    return rows.map(({ version, document, created_at }) => ({
      version,
      document,
      isDefault: version === policy.default_version,
      createdAt: created_at,
    }))
  }

  /** What a policy says today; undefined where the account has none of this ARN. */
  async documentInForce(accountId: AccountId, arn: string): Promise<string | undefined> {
    const { reader } = this.#deps.database
    const builtIn = managedPolicy(arn)
    if (builtIn) return builtIn.document
    const name = policyNameIn(arn, accountId)
    const row = name === undefined ? undefined : await findNamed(reader, 'policy', accountId, name)
    if (!row || arnOf('policy', row) !== arn) return undefined
    return (await policyVersions(reader, row.id)).find(({ version }) => version === row.default_version)?.document
  }

  /** Throws `entity-unknown`. */
  async version(accountId: AccountId, arn: string, version: number): Promise<PolicyVersion> {
    const found = (await this.versions(accountId, arn)).find((each) => each.version === version)
    if (!found) throw policyCommands.policyVersionUnknown(arn, version)
    return found
  }

  /** Throws `policy-malformed`, `iam-limit-exceeded`, `entity-unknown`. */
  async createVersion(
    arn: string,
    { document, setAsDefault }: { document: string; setAsDefault: boolean },
    context: CommandContext,
  ): Promise<PolicyVersion> {
    checkManagedDocument(document)
    const { name } = await this.#own(context.accountId as AccountId, arn)
    const { row, isDefault } = await this.#deps.database.execute(
      policyCommands.createPolicyVersion,
      { name, document, setAsDefault },
      context,
    )
    return { version: row.version, document, isDefault, createdAt: row.created_at }
  }

  /** Throws `entity-unknown`. */
  async setDefaultVersion(arn: string, version: number, context: CommandContext): Promise<void> {
    const { name } = await this.#own(context.accountId as AccountId, arn)
    await this.#deps.database.execute(policyCommands.setDefaultPolicyVersion, { name, version }, context)
  }

  /** Throws `entity-unknown`; `entity-in-use` for the default version. */
  async removeVersion(arn: string, version: number, context: CommandContext): Promise<void> {
    const { name } = await this.#own(context.accountId as AccountId, arn)
    await this.#deps.database.execute(policyCommands.deletePolicyVersion, { name, version }, context)
  }

  /** The name of a policy of the account in the spelling it was made with. Throws `entity-unknown`. */
  async nameOf(accountId: AccountId, arn: string): Promise<string> {
    return (await this.#own(accountId, arn)).name
  }

  /** `action` is the call's name. Throws `entity-unknown`, `iam-limit-exceeded`. */
  async attach(owner: PolicyOwner, policyArn: string, action: string, context: CommandContext): Promise<void> {
    await this.#deps.database.execute(attachmentCommands.attachPolicy, { action, owner, policyArn }, context)
  }

  /** Throws `entity-unknown`. */
  async detach(owner: PolicyOwner, policyArn: string, action: string, context: CommandContext): Promise<void> {
    await this.#deps.database.execute(attachmentCommands.detachPolicy, { action, owner, policyArn }, context)
  }

  /** By name. Throws `entity-unknown`. */
  async attached(accountId: AccountId, owner: PolicyOwner, pathPrefix: string): Promise<readonly AttachedPolicy[]> {
    const arns = await attachedPolicyArns(this.#deps.database.reader, await this.#owner(accountId, owner))
    return arns
      .filter((arn) => arn.slice(arn.indexOf(':policy/') + ':policy'.length).startsWith(pathPrefix))
      .map((arn) => ({ arn, name: arn.slice(arn.lastIndexOf('/') + 1) }))
      .toSorted((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0))
  }

  /** Throws `policy-malformed`, `entity-unknown`, `iam-limit-exceeded`. */
  async putInline(owner: PolicyOwner, policy: InlinePolicy, action: string, context: CommandContext): Promise<void> {
    const { name: policyName, document } = policy
    parsePolicy(document, 'identity')
    const input = { action, owner, policyName, document }
    await this.#deps.database.execute(attachmentCommands.putInlinePolicy, input, context)
  }

  /** Throws `entity-unknown`. */
  async removeInline(owner: PolicyOwner, policyName: string, action: string, context: CommandContext): Promise<void> {
    await this.#deps.database.execute(attachmentCommands.deleteInlinePolicy, { action, owner, policyName }, context)
  }

  /** By name. Throws `entity-unknown`. */
  async inline(accountId: AccountId, owner: PolicyOwner): Promise<readonly InlinePolicy[]> {
    return inlinePolicies(this.#deps.database.reader, await this.#owner(accountId, owner))
  }

  /** Throws `entity-unknown`. */
  async inlinePolicy(accountId: AccountId, owner: PolicyOwner, policyName: string): Promise<InlinePolicy> {
    const found = (await this.inline(accountId, owner)).find(({ name }) => name === policyName)
    if (!found) throw attachmentCommands.inlinePolicyUnknown(owner.kind, policyName)
    return found
  }

  /** What a user, group or role itself has: documents in force, in no order. Throws `entity-unknown`. */
  async documentsOf(accountId: AccountId, owner: PolicyOwner): Promise<SourcedDocument[]> {
    const documents: SourcedDocument[] = (await this.inline(accountId, owner)).map(({ name, document }) => ({
      source: `${owner.kind}_${owner.name}_${name}`,
      document,
    }))
    for (const { arn, name } of await this.attached(accountId, owner, '/')) {
      const document = await this.documentInForce(accountId, arn)
      if (document !== undefined) documents.push({ source: name, document })
    }
    return documents
  }

  /** Undefined takes the boundary away. Throws `entity-unknown`. */
  async putBoundary(
    owner: { kind: 'user' | 'role'; name: string },
    policyArn: string | undefined,
    action: string,
    context: CommandContext,
  ): Promise<void> {
    const input = { action, owner, policyArn: policyArn ?? null }
    await this.#deps.database.execute(attachmentCommands.putBoundary, input, context)
  }

  /** Who has a policy, of one kind, by name. Throws `entity-unknown`. */
  async holders(
    accountId: AccountId,
    arn: string,
    kind: PolicyOwnerKind,
    usage: 'PermissionsPolicy' | 'PermissionsBoundary' | undefined,
  ): Promise<readonly PolicyHolder[]> {
    const { reader } = this.#deps.database
    const attached = usage === 'PermissionsBoundary' ? [] : await policyHolders(reader, kind, accountId, arn)
    const bounded =
      usage === 'PermissionsPolicy' || kind === 'group' ? [] : await boundaryHolders(reader, kind, accountId, arn)
    const known = new Set(attached.map(({ unique_id }) => unique_id))
    return [...attached, ...bounded.filter(({ unique_id }) => !known.has(unique_id))]
  }

  async #ownChunk(
    accountId: AccountId,
    { pathPrefix, after, limit }: { pathPrefix: string; after: string; limit: number },
  ): Promise<Uncounted[]> {
    if (limit === 0) return []
    return (await listNamed(this.#deps.database.reader, 'policy', accountId, { pathPrefix, after, limit })).map(toPolicy)
  }

  async #withUsage(accountId: AccountId, policies: readonly Uncounted[]): Promise<Policy[]> {
    const arns = policies.map(({ arn }) => arn)
    const usages = await policyUsages(this.#deps.database.reader, accountId, arns)
    return policies.map((policy) => ({ ...policy, ...(usages.get(policy.arn) ?? unused) }))
  }

  async #own(accountId: AccountId, arn: string): Promise<PolicyRow> {
    const name = policyNameIn(arn, accountId)
    const row = name === undefined ? undefined : await findNamed(this.#deps.database.reader, 'policy', accountId, name)
    if (row && arnOf('policy', row) === arn) return row
    throw iamError('entity-unknown', `Policy ${arn} was not found.`)
  }

  async #owner(accountId: AccountId, { kind, name }: PolicyOwner): Promise<{ kind: PolicyOwnerKind; id: number }> {
    const row = await findNamed(this.#deps.database.reader, kind, accountId, name)
    if (!row) throw entityUnknown(kind, name)
    return { kind, id: row.id }
  }
}

/** What a position in the list of all policies begins with: in which of its two parts it is. */
const ownList = '1'
const builtInList = '2'

function checkManagedDocument(document: string): void {
  parsePolicy(document, 'identity')
  if (policySize(document) > iamQuotas.PolicySize) throw quotaExceeded('PolicySize')
}

type Uncounted = Omit<Policy, keyof PolicyUsage>

const unused: PolicyUsage = { attachmentCount: 0, boundaryCount: 0 }

function toPolicy(row: PolicyRow): Uncounted {
  return {
    name: row.name,
    path: row.path,
    arn: arnOf('policy', row),
    uniqueId: row.unique_id,
    description: row.description ?? undefined,
    defaultVersion: row.default_version,
    createdAt: row.created_at,
    updatedAt: row.updated_at,
  }
}

function fromBuiltIn({ name, path, arn, uniqueId, description, version, createdAt }: ManagedPolicy): Uncounted {
  return { name, path, arn, uniqueId, description, defaultVersion: version, createdAt, updatedAt: createdAt }
}

function builtInChunk({ pathPrefix, after }: { pathPrefix: string; after: string }): Uncounted[] {
  return managedPolicies()
    .filter(({ name, path }) => name > after && path.startsWith(pathPrefix))
    .map(fromBuiltIn)
}

function isWanted(
  { attachmentCount, boundaryCount }: Policy,
  { onlyAttached, usage }: { readonly onlyAttached: boolean; readonly usage: string | undefined },
): boolean {
  if (!onlyAttached) return true
  if (usage === 'PermissionsPolicy') return attachmentCount > 0
  if (usage === 'PermissionsBoundary') return boundaryCount > 0
  return attachmentCount > 0 || boundaryCount > 0
}
