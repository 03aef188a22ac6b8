import { isPlatformError } from '../../internal/platform-error.ts'
import type { Keyring } from '../../iam/index.ts'
import type { RegistryRef } from '../../registry/context.ts'
import { distributionError } from './errors.ts'

const purposeIn = ({ accountId, region }: RegistryRef): string => `list-position:${accountId}/${region}`

/** Sets a sealed position apart from a name: no name begins so. */
const mark = '~'

/**
 * Positions in listings that may be names of what the caller must not see: they go out sealed. A client that asks for
 * the next page sends them back as they are.
 */
export class ListPositions {
  readonly #keyring: Keyring

  constructor(keyring: Keyring) {
    this.#keyring = keyring
  }

  seal(registry: RegistryRef, position: string): string {
    return mark + this.#keyring.seal(Buffer.from(position), purposeIn(registry))
  }

  /**
   * The position that a client names, sealed or not. One of another registry is none: beside repositories of one's own it
   * would tell what is listed there.
   * @throws `query-invalid`
   */
  read(registry: RegistryRef, position: string | undefined): string | undefined {
    if (position?.startsWith(mark) !== true) return position
    try {
      return this.#keyring.unseal(position.slice(mark.length), purposeIn(registry)).toString()
    } catch (error) {
      if (!isPlatformError(error, 'token-invalid')) throw error
      throw distributionError('query-invalid', `The parameter 'last' is not the name of anything listed here.`)
    }
  }
}
