import type { MetadataDatabase } from '../storage/metadata/database.ts'
import { iamGeneration } from '../storage/metadata/stores/access-key-store.ts'

/**
 * The number that every change of who-may-what increments. Whatever was learned under one value holds for that value, so
 * whoever remembers something forgets it with the next: a right that is taken away is gone for the next request, on
 * every server.
 */
export class IamGeneration {
  readonly #database: MetadataDatabase
  #value = -1
  /** The database's commits when the value was read. */
  #commitsThen: number | undefined

  constructor(database: MetadataDatabase) {
    this.#database = database
  }

  /** As last looked at. What is read from the database from now on is at least as new. */
  get value(): number {
    return this.#value
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
    const value = await iamGeneration(this.#database.reader)
    // An answer that was overtaken by a newer one says nothing.
    if (value < this.#value) return
    this.#value = value
    this.#commitsThen = commits
  }
}
