import { hash } from 'node:crypto'
import type { Keyring } from '../../../../iam/index.ts'
import { isPlatformError } from '../../../../internal/platform-error.ts'
import type { AwsError } from '../../errors.ts'
import { invalidParameter } from '../../shapes.ts'

/** Everything that tells one list from another: operation, registry, repository, filters. */
export type ListIdentity = readonly (string | number)[]

/** The first element of what a token holds, for the day when a position has to say more. */
const tokenVersion = 1

/**
 * The `nextToken`s of ECR's lists. A token holds the position where its page ended, sealed for the list it belongs to: it
 * is good for that list only, and tells its holder nothing. It never expires: the position stays one, whatever happens to
 * the list.
 */
export class PageTokens {
  readonly #keyring: Keyring

  constructor(keyring: Keyring) {
    this.#keyring = keyring
  }

  /** Undefined for the last page, which has no position to go on from. */
  issue(list: ListIdentity, position: string | undefined): string | undefined {
    if (position === undefined) return undefined
    return this.#keyring.seal(Buffer.from(JSON.stringify([tokenVersion, position])), purposeOf(list))
  }

  /**
   * The position in a token of this list; undefined without a token, where the list begins.
   * @throws AwsError InvalidParameterException
   */
  read(list: ListIdentity, token: string | undefined): string | undefined {
    if (token === undefined) return undefined
    const held: unknown = JSON.parse(this.#unseal(list, token).toString())
    if (!Array.isArray(held) || held[0] !== tokenVersion) throw refused()
    return String(held[1])
  }

  #unseal(list: ListIdentity, token: string): Buffer {
    try {
      return this.#keyring.unseal(token, purposeOf(list))
    } catch (error) {
      if (isPlatformError(error, 'token-invalid')) throw refused()
      throw error
    }
  }
}

/** The refusal of a page token beside a list of names, whose answer has one page. */
export function tokenBesideNames(names: string): AwsError {
  return invalidParameter([{ field: 'nextToken', constraint: `Member must be null when ${names} is set` }])
}

/** What a token is sealed for, always of one length. */
function purposeOf(list: ListIdentity): string {
  return `page-token ${hash('sha256', JSON.stringify(list))}`
}

function refused(): AwsError {
  return invalidParameter([{ field: 'nextToken', constraint: 'Member must be a token that this list has given out' }])
}
