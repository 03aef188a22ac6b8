import { createHash, timingSafeEqual } from 'node:crypto'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { isLoopback } from '../../config/index.ts'
import type { EdgeHandler, RequestMeta } from '../request-meta.ts'

export interface OperationsOptions {
  /** Whether the server can do its work; `reason` is a fixed phrase, since anybody may read it. */
  ready(): Promise<{ ok: boolean; reason?: string }>
  /** Metrics in Prometheus' text format. */
  metricsText(): Promise<string>
  /** Where set, `/metrics` asks for it; else only the loopback address may read. */
  readonly metricsToken: string | undefined
  /** How long a readiness check may take before the answer is "no". */
  readonly readyTimeoutMs?: number
}

export interface Operations {
  readonly handle: EdgeHandler
  /** From now on `/readyz` answers 503, so that balancers send no more. */
  startDraining(): void
}

export const operationsPaths = {
  health: '/healthz',
  ready: '/readyz',
  metrics: '/metrics',
} as const

/** Shorter than the time-out of a usual probe, so that the probe hears the reason. */
const defaultReadyTimeoutMs = 2_000

const prometheusText = 'text/plain; version=0.0.4; charset=utf-8'

/** Health, readiness and metrics. */
export function createOperations(options: OperationsOptions): Operations {
  let draining = false
  let checking: Promise<{ ok: boolean; reason?: string }> | undefined

  // Anybody may ask, so however many ask at once cost one check.
  const checkReady = async (): Promise<{ ok: boolean; reason?: string }> => {
    checking ??= withTimeout(options.ready(), options.readyTimeoutMs ?? defaultReadyTimeoutMs).finally(() => {
      checking = undefined
    })
    return checking
  }

  const answerReady = async (response: ServerResponse): Promise<void> => {
    const state = draining ? { ok: false, reason: 'stopping' } : await checkReady()
    const body = { ready: state.ok, ...(state.reason === undefined ? {} : { reason: state.reason }) }
    answer(response, state.ok ? 200 : 503, 'application/json', `${JSON.stringify(body)}\n`)
  }

  const answerMetrics = async (request: IncomingMessage, response: ServerResponse, meta: RequestMeta): Promise<void> => {
    const refusal = metricsRefusal(request, meta, options.metricsToken)
    if (refusal === undefined) answer(response, 200, prometheusText, await options.metricsText())
    else {
      if (refusal.status === 401) response.setHeader('WWW-Authenticate', 'Bearer')
      answer(response, refusal.status, 'text/plain', refusal.text)
    }
  }

  return {
    startDraining() {
      draining = true
    },
    async handle(request, response, meta) {
      meta.protocol = 'ops'
      if (request.method !== 'GET' && request.method !== 'HEAD') {
        response.setHeader('Allow', 'GET, HEAD')
        answer(response, 405, 'text/plain', 'only GET and HEAD\n')
        return
      }
      const path = (request.url ?? '').split('?', 1)[0]
      if (path === operationsPaths.metrics) await answerMetrics(request, response, meta)
      else if (path === operationsPaths.ready) await answerReady(response)
      else answer(response, 200, 'text/plain', 'ok\n')
    },
  }
}

function metricsRefusal(
  request: IncomingMessage,
  meta: RequestMeta,
  token: string | undefined,
): { status: 401 | 403; text: string } | undefined {
  if (token !== undefined) {
    const given = /^Bearer (.+)$/i.exec(request.headers.authorization ?? '')?.[1]
    if (given !== undefined && sameText(given, token)) return undefined
    return { status: 401, text: 'metrics need the bearer token of STOWAGE_METRICS_TOKEN\n' }
  }
  // What a proxy passes on comes from somebody behind it, wherever the proxy itself runs.
  const forwarded = request.headers['x-forwarded-for'] !== undefined || request.headers.forwarded !== undefined
  if (isLoopback(meta.sourceIp) && !forwarded) return undefined
  return { status: 403, text: 'metrics are read from this machine, or with a token: set STOWAGE_METRICS_TOKEN\n' }
}

/** Compares in constant time; hashing first makes the lengths equal. */
function sameText(left: string, right: string): boolean {
  const digest = (text: string): Buffer => createHash('sha256').update(text).digest()
  return timingSafeEqual(digest(left), digest(right))
}

async function withTimeout(
  check: Promise<{ ok: boolean; reason?: string }>,
  timeoutMs: number,
): Promise<{ ok: boolean; reason?: string }> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<{ ok: boolean; reason: string }>((resolve) => {
    timer = setTimeout(() => resolve({ ok: false, reason: 'the readiness check takes too long' }), timeoutMs)
  })
  try {
    return await Promise.race([check.catch(() => ({ ok: false, reason: 'the readiness check failed' })), late])
  } finally {
    clearTimeout(timer)
  }
}

function answer(response: ServerResponse, status: number, type: string, body: string): void {
  response.writeHead(status, {
    'Content-Type': type,
    'Content-Length': Buffer.byteLength(body),
    'Cache-Control': 'no-store',
  })
  response.end(body)
}
