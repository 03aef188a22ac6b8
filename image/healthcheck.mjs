// Asks the server in this container whether it is ready; the image has no shell and no curl for it.
import http from 'node:http'
import https from 'node:https'
import process from 'node:process'

const environment = process.env
const port = /:(\d+)$/u.exec(environment.STOWAGE_LISTEN ?? '')?.[1] ?? '5050'
const usesTls = (environment.STOWAGE_TLS_CERT ?? '') !== '' || environment.STOWAGE_TLS_SELF_SIGNED === 'true'

// The certificate is for the name that clients use, not for this address, and nothing secret is sent.
const options = { host: '127.0.0.1', port, path: '/readyz', timeout: 4_000, rejectUnauthorized: false }
const request = (usesTls ? https : http).get(options, (response) => {
  process.exit(response.statusCode === 200 ? 0 : 1)
})
request.once('timeout', () => process.exit(1))
request.once('error', () => process.exit(1))
