import { request as httpRequest } from 'node:http'
import { request as httpsRequest } from 'node:https'
import type { TrustedAuthorities } from '../../internal/outbound/trusted-authorities.ts'

export interface HttpPost {
  readonly method: 'POST' | 'PUT'
  readonly headers: Readonly<Record<string, string>>
  readonly body: Buffer
  readonly trusted: TrustedAuthorities
  readonly signal: AbortSignal
  /** What the body of a refusal says of its reason, for the log; undefined: nothing. */
  readonly reasonIn?: (answer: string) => string | undefined
}

/** Until the answer is whole. */
const timeoutMs = 15_000
/** More of an answer is not looked at. */
const maxAnswerBytes = 64 * 1024

/** Sends bytes to an address that the operator chose. Answers with the body of a success; rejects for every other status, and never follows. */
export async function postBytes(url: URL, { method, headers, body, trusted, signal, reasonIn }: HttpPost): Promise<string> {
  const isSecure = url.protocol === 'https:'
  const secureContext = isSecure ? await trusted.context() : undefined
  const ended = AbortSignal.any([signal, AbortSignal.timeout(timeoutMs)])
  return new Promise<string>((resolve, reject) => {
    const outgoing = (isSecure ? httpsRequest : httpRequest)(url, { method, headers: { ...headers, 'content-length': String(body.length) }, ...(secureContext && { secureContext }), agent: false, signal: ended }, (response) => {
      const status = response.statusCode ?? 0
      const chunks: Buffer[] = []
      let sizeBytes = 0
      response.on('data', (chunk: Buffer) => {
        sizeBytes += chunk.length
        if (sizeBytes <= maxAnswerBytes) chunks.push(chunk)
        else response.destroy(new Error(`${url.host} answers with more than ${maxAnswerBytes} bytes`))
      })
      response.once('error', reject)
      response.once('end', () => {
        const answer = Buffer.concat(chunks).toString()
        if (status >= 200 && status < 300) {
          resolve(answer)
          return
        }
        const reason = reasonIn?.(answer)
        reject(new Error(`${url.host} answers with status ${status}${reason === undefined ? '' : `: ${reason}`}`))
      })
    })
    outgoing.once('error', (error) => reject(ended.aborted && !signal.aborted ? new Error(`${url.host} does not answer within ${timeoutMs} ms`) : error))
    outgoing.end(body)
  })
}
