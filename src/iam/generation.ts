import type { MetadataDatabase } from '../storage/metadata/database.ts'
import { accountsChangedAfter, iamGeneration } from '../storage/metadata/stores/access-key-store.ts'

/**
 * The number that every change of who-may-what increments, and of each account the value of its last change. Whatever was
 * learned of an account holds until the account's next change, so whoever remembers something asks before using it: a right
 * that is taken away is gone for the next request, on every server.
 */
export class IamGeneration {
  readonly #database: MetadataDatabase
  #value = -1
  /** The database's commits when the value was read. */
  #commitsThen: number | undefined
  /** Of accounts that changed since the first look. There are as many at most as an installation has accounts. */
  readonly #changedAt = new Map<string, number>()
  /** Changes of servers of earlier versions, which do not say in which account, and the value when the last was seen. */
  #unaccounted = 0
  #anyChangedAt = 0

  constructor(database: MetadataDatabase) {
    this.#database = database
  }

  /** As last looked at. What is read from the database from now on is at least as new. */
  get value(): number {
    return this.#value
  }

  /** Whether what was read of an account when the value was `readAt` is still so, as last looked at. */
  holds(readAt: number, accountId: string): boolean {
    // Nothing at all has changed: the usual case.
    if (readAt === this.#value) return true
    return readAt >= this.#anyChangedAt && readAt >= (this.#changedAt.get(accountId) ?? 0)
  }

  /**
   * Looks at the database, unless nothing at all was written since the last time. Every request does this once, when it
   * finds out who is asking.
   */
  refresh(): void | Promise<void> {
    // Before the reading: what is committed meanwhile may or may not be in it.
    const commits = this.#database.commitsOfAll()
    if (commits !== undefined && commits === this.#commitsThen) return undefined
    return this.#read(commits)
  }

  async #read(commits: number | undefined): Promise<void> {
    const { value, unaccounted } = await iamGeneration(this.#database.reader)
    const known = this.#value
    // Before the first look nobody remembers anything.
    if (known !== -1 && value > known) {
      const changed = await accountsChangedAfter(this.#database.reader, known)
      for (const each of changed) this.#changedAt.set(each.account_id, Math.max(each.value, this.#changedAt.get(each.account_id) ?? 0))
    }
    // An answer that was overtaken by a newer one says nothing.
    if (value < this.#value) return
    if (known !== -1 && unaccounted !== this.#unaccounted) this.#anyChangedAt = value
    this.#unaccounted = unaccounted
    this.#value = value
    this.#commitsThen = commits
  }
}
