import type { Session } from '../storage/metadata/session.ts'
import { accountExists, findRegistryId } from '../storage/metadata/stores/repository-store.ts'
import type { AccountId, Region } from '../values/index.ts'
import { emptyRegistryId } from './commands/registries.ts'
import type { RegistryRef } from './context.ts'

/** An account may make repositories in any region; this many are remembered, and more only cost a look-up. */
const maxRemembered = 1000

/**
 * The registries of the installation. An account may use any region, as at AWS, but asking leaves no trace: a registry
 * comes into being with the first repository in it. It never goes away, so what was found once is remembered.
 */
export class RegistryDirectory {
  readonly #reader: Session
  readonly #known = new Map<string, RegistryRef>()

  constructor(reader: Session) {
    this.#reader = reader
  }

  /**
   * The registry of an account in a region; undefined where there is no such account. Where the account has made
   * nothing in the region the id is `emptyRegistryId`, for now: every look-up in it finds nothing, and creating a
   * repository gives the registry an id of its own.
   */
  async find(accountId: AccountId, region: Region): Promise<RegistryRef | undefined> {
    const name = `${accountId}/${region}`
    const known = this.#known.get(name)
    if (known) return known
    const id = await findRegistryId(this.#reader, accountId, region)
    if (id === undefined) {
      const isAccount = await accountExists(this.#reader, accountId)
      return isAccount ? { id: emptyRegistryId, accountId, region } : undefined
    }
    const found: RegistryRef = { id, accountId, region }
    if (this.#known.size < maxRemembered) this.#known.set(name, found)
    return found
  }
}
