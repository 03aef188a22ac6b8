import type { Session } from '../storage/metadata/session.ts'
import { findRegistryId } from '../storage/metadata/stores/repository-store.ts'
import type { AccountId, Region } from '../values/index.ts'
import { emptyRegistryId } from './commands/registries.ts'
import type { RegistryRef } from './context.ts'

/** An account may make repositories in any region; this many are remembered, and more only cost a look-up. */
const maxRemembered = 1000

/** How AWS names its regions: `eu-central-1`, `us-gov-west-1`. */
const awsRegion = /^[a-z]{2}(-[a-z]+)+-\d$/u

export interface RegionLimits {
  /** Where accounts may begin to make things; undefined: wherever a name has AWS's form. */
  readonly regions: ReadonlySet<Region> | undefined
  /** Always served. */
  readonly defaultRegion: Region
  readonly maxPerAccount: number
}

/**
 * The registries of the installation. An account may use any region that is served, as at AWS, but asking leaves no trace: a registry
 * comes into being with the first repository in it. It never goes away, so what was found once is remembered.
 */
export class RegistryDirectory {
  readonly #reader: Session
  readonly #limits: RegionLimits
  readonly #known = new Map<string, RegistryRef>()

  constructor(reader: Session, limits: RegionLimits) {
    this.#reader = reader
    this.#limits = limits
  }

  /**
   * The registry of an account in a region, at once where it is remembered. Where the account has made nothing in the
   * region the id is `emptyRegistryId`, for now: every look-up in it finds nothing, and creating a repository gives the
   * registry an id of its own. An account that is not there looks the same, so that nobody learns which ones are.
   */
  find(accountId: AccountId, region: Region): RegistryRef | Promise<RegistryRef> {
    return this.#known.get(`${accountId}/${region}`) ?? this.#look(accountId, region)
  }

  async #look(accountId: AccountId, region: Region): Promise<RegistryRef> {
    const id = await findRegistryId(this.#reader, accountId, region)
    if (id === undefined) {
      const { maxPerAccount } = this.#limits
      return { id: emptyRegistryId, accountId, region, newRegistry: { isServedRegion: this.#isServed(region), maxPerAccount } }
    }
    const found: RegistryRef = { id, accountId, region }
    if (this.#known.size < maxRemembered) this.#known.set(`${accountId}/${region}`, found)
    return found
  }

  #isServed(region: Region): boolean {
    const { regions, defaultRegion } = this.#limits
    return region === defaultRegion || (regions?.has(region) ?? awsRegion.test(region))
  }
}
