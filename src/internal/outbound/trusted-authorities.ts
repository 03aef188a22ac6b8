import { readFile } from 'node:fs/promises'
import { createSecureContext, getCACertificates, type SecureContext } from 'node:tls'

/** Node's own authorities (with NODE_EXTRA_CA_CERTS), and those of the operating system. */
export type AuthorityStore = 'default' | 'system'

/**
 * The authorities of some stores and those of a file in PEM, which is read anew each time, so that it may change. Reading some hundred
 * certificates takes many milliseconds, and a megabyte that is not soon given back: what was made of a text serves until there is another.
 */
export class TrustedAuthorities {
  readonly #caFile: string | undefined
  readonly #stores: readonly AuthorityStore[]
  #made: { readonly text: string; readonly context: SecureContext } | undefined

  /** @param caFile undefined: what Node trusts without being told */
  constructor(caFile: string | undefined, stores: readonly AuthorityStore[]) {
    this.#caFile = caFile
    this.#stores = stores
  }

  /** For connections by TLS; undefined without a file. Rejects where the file cannot be read. */
  async context(): Promise<SecureContext | undefined> {
    if (this.#caFile === undefined) return undefined
    const text = await readFile(this.#caFile, 'utf8')
    if (this.#made?.text !== text) this.#made = { text, context: createSecureContext({ ca: [...this.#stores.flatMap((store) => getCACertificates(store)), text] }) }
    return this.#made.context
  }
}
