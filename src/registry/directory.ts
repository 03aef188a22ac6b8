import type { CommandContext } from '../storage/metadata/command.ts'
import type { MetadataDatabase } from '../storage/metadata/database.ts'
import { accountExists, findRegistryId } from '../storage/metadata/stores/repository-store.ts'
import type { AccountId, Region } from '../values/index.ts'
import { ensureRegistry } from './commands/registries.ts'
import type { RegistryRef } from './context.ts'

/** An account may use any region name; this many are remembered, and more only cost a look-up. */
const maxRemembered = 1000

/**
 * The registries of the installation. A registry of an existing account comes into being when it is first asked
 * for, as regions do for an AWS account; it never goes away, so what was found once is remembered.
 */
export class RegistryDirectory {
  readonly #database: MetadataDatabase
  readonly #context: () => CommandContext
  readonly #known = new Map<string, RegistryRef>()

  constructor(database: MetadataDatabase, context: () => CommandContext) {
    this.#database = database
    this.#context = context
  }

  /** Undefined where there is no such account. Asked only for callers who are known. */
  async find(accountId: AccountId, region: Region): Promise<RegistryRef | undefined> {
    const name = `${accountId}/${region}`
    const known = this.#known.get(name)
    if (known) return known
    let id = await findRegistryId(this.#database.reader, accountId, region)
    if (id === undefined) {
      if (!(await accountExists(this.#database.reader, accountId))) return undefined
      await this.#database.execute(ensureRegistry, { accountId, region }, this.#context())
      id = await findRegistryId(this.#database.reader, accountId, region)
    }
    if (id === undefined) return undefined
    const found: RegistryRef = { id, accountId, region }
    if (this.#known.size < maxRemembered) this.#known.set(name, found)
    return found
  }
}
