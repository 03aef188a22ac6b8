import { isPlatformError } from '../../internal/platform-error.ts'
import type { Keyring } from '../../iam/index.ts'
import { distributionError } from './errors.ts'

const purpose = 'list-position'

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

  seal(position: string): string {
    return mark + this.#keyring.seal(Buffer.from(position), purpose)
  }

  /**
   * The position that a client names, sealed or not.
   * @throws `query-invalid`
   */
  read(position: string | undefined): string | undefined {
    if (position?.startsWith(mark) !== true) return position
    try {
      return this.#keyring.unseal(position.slice(mark.length), purpose).toString()
    } catch (error) {
      if (!isPlatformError(error, 'token-invalid')) throw error
      throw distributionError('query-invalid', `The parameter 'last' is not the name of anything listed here.`)
    }
  }
}
