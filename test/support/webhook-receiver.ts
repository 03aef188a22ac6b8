import { createHmac } from 'node:crypto'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import type { IncomingHttpHeaders, IncomingMessage, ServerResponse } from 'node:http'
import { createServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { text } from 'node:stream/consumers'
import { createCertificate } from './certificates.ts'
import { createTempDir } from './temp-dir.ts'

export interface Received {
  readonly path: string
  readonly headers: IncomingHttpHeaders
  readonly body: string
  /** When all of it was here. */
  readonly receivedAt: number
}

/** The other end of a webhook, over TLS, with a certificate of an authority of its own. */
export interface WebhookReceiver extends AsyncDisposable {
  /** `https://localhost:<port>` */
  readonly url: string
  /** `localhost:<port>` */
  readonly host: string
  readonly port: number
  /** What clients have to trust, a file in PEM. */
  readonly caFile: string
  /** What was accepted, in order. */
  readonly accepted: Received[]
  /** Every attempt. */
  readonly attempts: Received[]
  /** Takes over from accepting; answer true to have done so, or to leave the request without an answer. */
  intercept: ((received: Received, response: ServerResponse) => boolean) | undefined
  stop(): Promise<void>
}

export async function startWebhookReceiver(): Promise<WebhookReceiver> {
  const folder = createTempDir('webhook-receiver')
  const { certFile, keyFile } = await createCertificate(folder.path)
  const take = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const received = { path: request.url ?? '', headers: request.headers, body: await text(request), receivedAt: Date.now() }
    receiver.attempts.push(received)
    if (receiver.intercept?.(received, response) === true) return
    receiver.accepted.push(received)
    response.writeHead(204)
    response.end()
  }
  const server = createServer({ cert: readFileSync(certFile), key: readFileSync(keyFile) }, (request, response) => {
    take(request, response).catch(() => response.destroy())
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  const stop = async (): Promise<void> => {
    server.closeAllConnections()
    await new Promise((resolve) => server.close(resolve))
    folder.remove()
  }
  const receiver: WebhookReceiver = {
    url: `https://localhost:${port}`,
    host: `localhost:${port}`,
    port,
    caFile: certFile,
    accepted: [],
    attempts: [],
    intercept: undefined,
    stop,
    [Symbol.asyncDispose]: stop,
  }
  return receiver
}

/** Whether a receiver with this secret would believe a delivery, as https://www.standardwebhooks.com says. */
export function isSignedWith(secret: string, { headers, body }: Received): boolean {
  const key = Buffer.from(secret.replace(/^whsec_/u, ''), 'base64')
  const [id, timestamp] = [String(headers['webhook-id']), String(headers['webhook-timestamp'])]
  if (Math.abs(Date.now() / 1000 - Number(timestamp)) > 300) return false
  return headers['webhook-signature'] === `v1,${createHmac('sha256', key).update(`${id}.${timestamp}.${body}`).digest('base64')}`
}
