import type { Keyring } from '../../../../iam/index.ts'
import type { AwsError } from '../../errors.ts'
import { invalidParameter } from '../../shapes.ts'

/** Everything that tells one list from another: operation, registry, repository, filters. */
export type ListIdentity = readonly (string | number)[]

const purpose = 'page-token'

/** The first element of what a token holds, for the day when a position has to say more. */
const tokenVersion = 1

const separator = '.'

/**
 * The `nextToken`s of ECR's lists. A token holds the position where its page ended and is signed together with the
 * list it belongs to, so that it is good for that list only. It never expires: the position stays one, whatever
 * happens to the list.
 */
export class PageTokens {
  readonly #keyring: Keyring

  constructor(keyring: Keyring) {
    this.#keyring = keyring
  }

  /** Undefined for the last page, which has no position to go on from. */
  issue(list: ListIdentity, position: string | undefined): string | undefined {
    if (position === undefined) return undefined
    const payload = Buffer.from(JSON.stringify([tokenVersion, position])).toString('base64url')
    return payload + separator + this.#keyring.mac(signedText(list, payload), purpose)
  }

  /**
   * The position in a token of this list; undefined without a token, where the list begins.
   * @throws AwsError InvalidParameterException
   */
  read(list: ListIdentity, token: string | undefined): string | undefined {
    if (token === undefined) return undefined
    const end = token.indexOf(separator)
    if (end === -1) throw refused()
    const payload = token.slice(0, end)
    // The MAC is over the text as it stands, so that nothing unsigned is ever decoded.
    if (!this.#keyring.verifyMac(signedText(list, payload), token.slice(end + 1), purpose)) throw refused()
    const held: unknown = JSON.parse(Buffer.from(payload, 'base64url').toString())
    if (!Array.isArray(held) || held[0] !== tokenVersion) throw refused()
    return String(held[1])
  }
}

/** The refusal of a page token beside a list of names, whose answer has one page. */
export function tokenBesideNames(names: string): AwsError {
  return invalidParameter([{ field: 'nextToken', constraint: `Member must be null when ${names} is set` }])
}

function signedText(list: ListIdentity, payload: string): Buffer {
  return Buffer.from(JSON.stringify([list, payload]))
}

function refused(): AwsError {
  return invalidParameter([{ field: 'nextToken', constraint: 'Member must be a token that this list has given out' }])
}
