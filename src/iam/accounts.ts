import { newAccessKeyPair } from '../internal/access-key-pair.ts'
import type { IdSource } from '../internal/ids.ts'
import { isPlatformError } from '../internal/platform-error.ts'
import type { CommandContext } from '../storage/metadata/command.ts'
import type { MetadataDatabase } from '../storage/metadata/database.ts'
import { findAccountRow, listAccountRows, type AccountRow } from '../storage/metadata/stores/account-store.ts'
import { parseAccountId, rootArn, type AccountId } from '../values/index.ts'
import { createAccount } from './commands/accounts.ts'
import { replaceRootAccessKey } from './commands/root-access-key.ts'
import { iamError } from './errors.ts'
import type { Keyring } from './keyring.ts'
import { secretPurpose } from './sessions.ts'

/** An account of the installation. The time is in milliseconds since the Unix epoch. */
export interface AccountInfo {
  readonly accountId: AccountId
  /** Absent for the installation's own, which nobody named. */
  readonly name: string | undefined
  readonly createdAt: number
}

/** A root's access key in the clear, as it is handed out once: never logged, never stored so. */
export interface RootCredentialPair {
  readonly accessKeyId: string
  readonly secretAccessKey: string
}

/** Of a trillion ids, this many in a row are taken only where somebody chose them all. */
const idAttempts = 5

/** The accounts of an installation: who owns registries, users and roles. */
export class Accounts {
  readonly #database: MetadataDatabase
  readonly #keyring: Keyring
  readonly #ids: IdSource

  constructor(deps: { readonly database: MetadataDatabase; readonly keyring: Keyring; readonly ids: IdSource }) {
    this.#database = deps.database
    this.#keyring = deps.keyring
    this.#ids = deps.ids
  }

  /** Makes an account and its root's access key. Throws `entity-exists` where the id is taken. */
  async create(
    wanted: { readonly accountId: AccountId | undefined; readonly name: string },
    context: CommandContext,
  ): Promise<{ readonly account: AccountInfo; readonly rootCredential: RootCredentialPair }> {
    for (let attempt = 1; ; attempt += 1) {
      const accountId = wanted.accountId ?? this.#newAccountId()
      const { rootCredential, secretSealed } = this.#newCredential()
      const { accessKeyId } = rootCredential
      try {
        const row = await this.#database.execute(createAccount, { accountId, name: wanted.name, accessKeyId, secretSealed }, context)
        return { account: toAccount(row), rootCredential }
      } catch (error) {
        if (wanted.accountId !== undefined || attempt === idAttempts || !isPlatformError(error, 'entity-exists')) throw error
      }
    }
  }

  /** Throws `entity-unknown`. */
  async get(accountId: AccountId): Promise<AccountInfo> {
    const row = await findAccountRow(this.#database.reader, accountId)
    if (row === undefined) throw iamError('entity-unknown', `There is no account with the id ${accountId}.`)
    return toAccount(row)
  }

  /** In the order of their ids; `next` is the last one's, where there are more. */
  async list(page: { readonly after: string | undefined; readonly limit: number }): Promise<{ accounts: AccountInfo[]; next: string | undefined }> {
    const rows = await listAccountRows(this.#database.reader, page.after ?? '', page.limit + 1)
    const accounts = rows.slice(0, page.limit).map(toAccount)
    return { accounts, next: rows.length > page.limit ? accounts.at(-1)?.accountId : undefined }
  }

  /** A new access key for the account's root; the one before it ends at once. Throws `entity-unknown`. */
  async replaceRootCredential(
    accountId: AccountId,
    context: CommandContext,
  ): Promise<{ readonly account: AccountInfo; readonly rootCredential: RootCredentialPair }> {
    const account = await this.get(accountId)
    const { rootCredential, secretSealed } = this.#newCredential()
    const { accessKeyId } = rootCredential
    const input = { accountId, principalArn: rootArn(accountId), accessKeyId, secretSealed }
    await this.#database.execute(replaceRootAccessKey, input, context)
    return { account, rootCredential }
  }

  #newCredential(): { readonly rootCredential: RootCredentialPair; readonly secretSealed: string } {
    const rootCredential = newAccessKeyPair('AKIA', this.#ids)
    const { accessKeyId, secretAccessKey } = rootCredential
    return { rootCredential, secretSealed: this.#keyring.seal(Buffer.from(secretAccessKey), secretPurpose(accessKeyId)) }
  }

  #newAccountId(): AccountId {
    // 48 bits over a trillion: which ids come a little more often helps nobody.
    return parseAccountId(String(this.#ids.bytes(6).readUIntBE(0, 6) % 1_000_000_000_000).padStart(12, '0'))
  }
}

function toAccount(row: AccountRow): AccountInfo {
  return { accountId: row.account_id as AccountId, name: row.name ?? undefined, createdAt: row.created_at }
}
