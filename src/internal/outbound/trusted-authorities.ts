import { readFile } from 'node:fs/promises'
import { createSecureContext, getCACertificates, type SecureContext } from 'node:tls'

/**
 * The system's authorities and those of a file in PEM, which is read anew each time, so that it may change. Reading some hundred
 * certificates takes many milliseconds, and a megabyte that is not soon given back: what was made of a text serves until there is another.
 */
export class TrustedAuthorities {
  readonly #caFile: string | undefined
  #made: { readonly text: string; readonly context: SecureContext } | undefined

  /** @param caFile undefined: the system's alone */
  constructor(caFile: string | undefined) {
    this.#caFile = caFile
  }

  /** For connections by TLS; undefined without a file. Rejects where the file cannot be read. */
  async context(): Promise<SecureContext | undefined> {
    if (this.#caFile === undefined) return undefined
    const text = await readFile(this.#caFile, 'utf8')
    if (this.#made?.text !== text) this.#made = { text, context: createSecureContext({ ca: [...getCACertificates('default'), ...getCACertificates('system'), text] }) }
    return this.#made.context
  }
}
