import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { createServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { exportJWK, generateKeyPair, SignJWT, type CryptoKey, type JWK, type JWTPayload } from 'jose'
import { createCertificate } from './certificates.ts'
import { createTempDir } from './temp-dir.ts'

export type TokenAlgorithm = 'RS256' | 'RS384' | 'RS512' | 'PS256' | 'ES256' | 'ES384' | 'ES512' | 'EdDSA'

/** An OpenID Connect provider as build systems have them: discovery and keys over TLS, from an authority of its own. */
export interface OidcIssuer extends AsyncDisposable {
  /** `https://localhost:<port>`, with the path it was started with. */
  readonly issuer: string
  /** The same without its scheme: the provider's name in an account. */
  readonly url: string
  /** `localhost:<port>` */
  readonly host: string
  /** What clients have to trust, a file in PEM; also for `issuer.test`, a name that leads nowhere. */
  readonly caFile: string
  /** Paths that were asked for, in order. */
  readonly requests: string[]
  /** Takes over from the ordinary answers; answer true to have answered. */
  intercept: ((request: IncomingMessage, response: ServerResponse) => boolean) | undefined
  /** Signs with a key that is published under `kid`, made when it is first named. `iss`, `iat`, `nbf` and `exp` are added where absent. */
  sign(claims: JWTPayload, options?: { readonly alg?: TokenAlgorithm; readonly kid?: string; readonly header?: object }): Promise<string>
  /** Stops publishing a key; tokens may still be signed with it. */
  withdraw(kid: string): void
  publishedKeys(): readonly JWK[]
  stop(): Promise<void>
}

/** @param path what follows the host in the issuer's name, such as `/realms/build` */
export async function startOidcIssuer(path = ''): Promise<OidcIssuer> {
  const folder = createTempDir('oidc-issuer')
  const { certFile, keyFile } = await createCertificate(folder.path, ['issuer.test'])
  const keys = new Map<string, { readonly privateKey: CryptoKey; readonly jwk: JWK; published: boolean }>()
  const server = createServer({ cert: readFileSync(certFile), key: readFileSync(keyFile) }, (request, response) => {
    issuer.requests.push(request.url ?? '')
    if (issuer.intercept?.(request, response) === true) return
    const documents: Record<string, unknown> = {
      [`${path}/.well-known/openid-configuration`]: { issuer: issuer.issuer, jwks_uri: `${issuer.issuer}/keys` },
      [`${path}/keys`]: { keys: issuer.publishedKeys() },
    }
    const document = documents[request.url ?? '']
    response.writeHead(document === undefined ? 404 : 200, { 'content-type': 'application/json' })
    response.end(JSON.stringify(document ?? {}))
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const host = `localhost:${(server.address() as AddressInfo).port}`

  const keyFor = async (kid: string, alg: TokenAlgorithm) => {
    const known = keys.get(kid)
    if (known !== undefined) return known
    const { privateKey, publicKey } = await generateKeyPair(alg, { extractable: true })
    const made = { privateKey, jwk: { ...(await exportJWK(publicKey)), kid, alg, use: 'sig' }, published: true }
    keys.set(kid, made)
    return made
  }

  const stop = async (): Promise<void> => {
    server.closeAllConnections()
    await new Promise((resolve) => server.close(resolve))
    folder.remove()
  }
  const issuer: OidcIssuer = {
    issuer: `https://${host}${path}`,
    url: `${host}${path}`,
    host,
    caFile: certFile,
    requests: [],
    intercept: undefined,
    async sign(claims, { alg = 'RS256', kid = `key-${alg}`, header = {} } = {}) {
      const { privateKey } = await keyFor(kid, alg)
      const now = Math.floor(Date.now() / 1000)
      return new SignJWT({ iss: issuer.issuer, iat: now, nbf: now, exp: now + 300, ...claims })
        .setProtectedHeader({ alg, kid, typ: 'JWT', ...header })
        .sign(privateKey)
    },
    withdraw(kid) {
      const key = keys.get(kid)
      if (key !== undefined) key.published = false
    },
    publishedKeys: () => [...keys.values()].filter(({ published }) => published).map(({ jwk }) => jwk),
    stop,
    [Symbol.asyncDispose]: stop,
  }
  return issuer
}
