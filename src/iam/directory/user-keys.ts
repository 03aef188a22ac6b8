import { newAccessKeyPair } from '../../internal/access-key-pair.ts'
import type { CommandContext } from '../../storage/metadata/command.ts'
import {
  accessKeysOf,
  accessKeysOfUser,
  findAccessKeyRow,
  findAccessKeyUse,
  type AccessKeyRow,
} from '../../storage/metadata/stores/access-key-store.ts'
import { findNamed, findNamedById } from '../../storage/metadata/stores/iam-entity-store.ts'
import { rootArn, type AccountId } from '../../values/index.ts'
import { createAccessKey, removeAccessKey, setAccessKey } from '../commands/access-keys.ts'
import { entityUnknown } from '../commands/change.ts'
import { iamError } from '../errors.ts'
import { secretPurpose } from '../sessions.ts'
import type { DirectoryDependencies } from './dependencies.ts'

/** An access key without its secret. */
export interface AccessKeyFacts {
  readonly accessKeyId: string
  readonly status: 'active' | 'inactive'
  readonly createdAt: number
}

export interface LastUse {
  readonly atMs: number
  readonly region: string
  readonly service: string
}

/** Lasting access keys of users, and those of the root as far as they can be seen. */
export class UserKeys {
  readonly #deps: DirectoryDependencies

  constructor(deps: DirectoryDependencies) {
    this.#deps = deps
  }

  /** The only time that anybody sees the secret. Throws `entity-unknown`, `iam-limit-exceeded`. */
  async create(
    userName: string,
    context: CommandContext,
  ): Promise<AccessKeyFacts & { readonly userName: string; readonly secretAccessKey: string }> {
    const { database, keyring, ids } = this.#deps
    const { accessKeyId, secretAccessKey } = newAccessKeyPair('AKIA', ids)
    const secretSealed = keyring.seal(Buffer.from(secretAccessKey), secretPurpose(accessKeyId))
    const row = await database.execute(createAccessKey, { userName, accessKeyId, secretSealed }, context)
    return { ...toFacts(row), userName: row.userName, secretAccessKey }
  }

  /** The oldest first. Throws `entity-unknown`. */
  async ofUser(accountId: AccountId, userName: string): Promise<readonly AccessKeyFacts[]> {
    const { reader } = this.#deps.database
    const user = await findNamed(reader, 'user', accountId, userName)
    if (!user) throw entityUnknown('user', userName)
    return (await accessKeysOfUser(reader, user.id)).map(toFacts)
  }

  async ofRoot(accountId: AccountId): Promise<readonly AccessKeyFacts[]> {
    return (await accessKeysOf(this.#deps.database.reader, rootArn(accountId))).map(toFacts)
  }

  /** Throws `entity-unknown` where the key is not the user's. */
  async setStatus(
    userName: string,
    accessKeyId: string,
    status: 'active' | 'inactive',
    context: CommandContext,
  ): Promise<void> {
    await this.#deps.database.execute(setAccessKey, { userName, accessKeyId, status }, context)
  }

  /** Throws `entity-unknown` where the key is not the user's. */
  async remove(userName: string, accessKeyId: string, context: CommandContext): Promise<void> {
    await this.#deps.database.execute(removeAccessKey, { userName, accessKeyId }, context)
  }

  /** Whose key it is, and when it was used last; `userName` is undefined for a root's. Throws `entity-unknown`. */
  async lastUse(
    accountId: AccountId,
    accessKeyId: string,
  ): Promise<{ readonly userName: string | undefined; readonly lastUse: LastUse | undefined }> {
    const { reader } = this.#deps.database
    const key = await findAccessKeyRow(reader, accessKeyId)
    if (key?.account_id !== accountId) {
      throw iamError('entity-unknown', `The Access Key with id ${accessKeyId} cannot be found.`)
    }
    const user = key.user_id === null ? undefined : await findNamedById(reader, 'user', key.user_id)
    return { userName: user?.name, lastUse: await this.useOf(accessKeyId) }
  }

  /** The user that a key of the account belongs to; undefined for a root's key and for unknown ones. */
  async ownerOf(accountId: AccountId, accessKeyId: string): Promise<string | undefined> {
    const { reader } = this.#deps.database
    const key = await findAccessKeyRow(reader, accessKeyId)
    if (key?.account_id !== accountId || key.user_id === null) return undefined
    return (await findNamedById(reader, 'user', key.user_id))?.name
  }

  async useOf(accessKeyId: string): Promise<LastUse | undefined> {
    const use = await findAccessKeyUse(this.#deps.database.reader, accessKeyId)
    return use && { atMs: use.last_used_at, region: use.region, service: use.service }
  }
}

function toFacts(row: AccessKeyRow): AccessKeyFacts {
  return {
    accessKeyId: row.access_key_id,
    status: row.status === 'active' ? 'active' : 'inactive',
    createdAt: row.created_at,
  }
}
