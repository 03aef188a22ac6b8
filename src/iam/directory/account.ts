import type { CommandContext } from '../../storage/metadata/command.ts'
import { accessKeysOf } from '../../storage/metadata/stores/access-key-store.ts'
import { countNamed, findAccount } from '../../storage/metadata/stores/iam-entity-store.ts'
import { countPolicyVersions } from '../../storage/metadata/stores/iam-policy-store.ts'
import { oidcProvidersOf } from '../../storage/metadata/stores/oidc-provider-store.ts'
import { rootArn, type AccountId } from '../../values/index.ts'
import { createAccountAlias, deleteAccountAlias } from '../commands/account-alias.ts'
import { credentialReport } from './credential-report.ts'
import type { DirectoryDependencies } from './dependencies.ts'

/** How much of everything an account has. */
export interface AccountUsage {
  readonly users: number
  readonly groups: number
  readonly roles: number
  readonly policies: number
  readonly policyVersions: number
  readonly oidcProviders: number
  readonly rootAccessKeys: number
}

/** An account as a whole. */
export class Account {
  readonly #deps: DirectoryDependencies

  constructor(deps: DirectoryDependencies) {
    this.#deps = deps
  }

  async get(accountId: AccountId): Promise<{ readonly createdAt: number; readonly alias: string | undefined }> {
    const row = await findAccount(this.#deps.database.reader, accountId)
    if (!row) throw new Error('a caller belongs to an account that is not there')
    return { createdAt: row.created_at, alias: row.alias ?? undefined }
  }

  /** Takes the place of the alias it has. Throws `entity-exists`. */
  async setAlias(alias: string, context: CommandContext): Promise<void> {
    await this.#deps.database.execute(createAccountAlias, { alias }, context)
  }

  /** Throws `entity-unknown`. */
  async removeAlias(alias: string, context: CommandContext): Promise<void> {
    await this.#deps.database.execute(deleteAccountAlias, { alias }, context)
  }

  /** In CSV. See `credential-report.ts`. */
  credentialReport(accountId: AccountId): Promise<string> {
    return credentialReport(this.#deps.database, accountId)
  }

  usage(accountId: AccountId): Promise<AccountUsage> {
    return this.#deps.database.snapshot(async (session) => ({
      users: await countNamed(session, 'user', accountId),
      groups: await countNamed(session, 'group', accountId),
      roles: await countNamed(session, 'role', accountId),
      policies: await countNamed(session, 'policy', accountId),
      policyVersions: await countPolicyVersions(session, accountId),
      oidcProviders: (await oidcProvidersOf(session, accountId)).length,
      rootAccessKeys: (await accessKeysOf(session, rootArn(accountId))).length,
    }))
  }
}
