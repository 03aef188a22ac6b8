import { AsyncLocalStorage } from 'node:async_hooks'
import { ROOT_CONTEXT, SpanKind, SpanStatusCode, trace, type Context, type TextMapGetter } from '@opentelemetry/api'
import { setGlobalErrorHandler, W3CTraceContextPropagator } from '@opentelemetry/core'
import { OTLPTraceExporter } from '@opentelemetry/exporter-trace-otlp-http'
import { resourceFromAttributes } from '@opentelemetry/resources'
import { BatchSpanProcessor, ParentBasedSampler, TraceIdRatioBasedSampler, TracerProvider } from '@opentelemetry/sdk-trace'
import type { RequestTracer, WorkTracer } from '../internal/tracing.ts'
import { isPlatformError } from '../internal/platform-error.ts'

export interface TracingOptions {
  /** Scheme, host and path of a collector that takes OTLP over HTTP, without `/v1/traces`. */
  readonly endpoint: string
  /** Sent with what is exported. */
  readonly headers: Readonly<Record<string, string>>
  /** Which part of the traces that begin here is kept, from 0 to 1. A caller's own says itself whether it is kept. */
  readonly ratio: number
  readonly version: string
  /** Names this process. */
  readonly instanceId: string
  /** What could not be exported is lost; told once a minute at most. */
  readonly onError: (error: unknown) => void
}

export interface Tracing extends WorkTracer, RequestTracer {
  /** Sends what is left, for two seconds at most. */
  stop(): Promise<void>
}

/** Parts of traces that wait to be sent: of a collector that does not answer, more are dropped and nobody waits. */
const maxWaiting = 4096
const sendIntervalMs = 1000
const sendTimeoutMs = 5000
const stopTimeoutMs = 2000
const errorIntervalMs = 60_000
/** Longer texts of clients are cut. */
const maxTextLength = 1024

/**
 * Traces of requests, as OpenTelemetry has them: sent to a collector in the background. Contexts of callers are read from
 * `traceparent` (https://www.w3.org/TR/trace-context/). Nothing global is set but the handler of the exporter's errors.
 */
export function openTracing(options: TracingOptions): Tracing {
  const propagator = new W3CTraceContextPropagator()
  const current = new AsyncLocalStorage<Context>()
  let toldAtMs = Number.NEGATIVE_INFINITY
  setGlobalErrorHandler((error) => {
    if (performance.now() - toldAtMs < errorIntervalMs) return
    toldAtMs = performance.now()
    options.onError(error)
  })
  const exporter = new OTLPTraceExporter({
    url: `${options.endpoint}/v1/traces`,
    headers: { ...options.headers },
    timeoutMillis: sendTimeoutMs,
    concurrencyLimit: 2,
  })
  const provider = new TracerProvider({
    resource: resourceFromAttributes({
      'service.name': 'stowage',
      'service.version': options.version,
      'service.instance.id': options.instanceId,
    }),
    sampler: new ParentBasedSampler({ root: new TraceIdRatioBasedSampler(options.ratio) }),
    spanLimits: { attributeValueLengthLimit: maxTextLength },
    spanProcessors: [
      new BatchSpanProcessor({ exporter, maxQueueSize: maxWaiting, scheduledDelayMillis: sendIntervalMs, exportTimeoutMillis: sendTimeoutMs }),
    ],
  })
  const tracer = provider.getTracer('stowage', options.version)

  return {
    begin(headers) {
      const caller = extracted(propagator, headers)
      const span = tracer.startSpan('request', { kind: SpanKind.SERVER }, caller)
      if (!span.isRecording()) return undefined
      const own = trace.setSpan(caller, span)
      return {
        traceId: span.spanContext().traceId,
        run: (work) => current.run(own, work),
        end({ name, attributes, hasFailed }) {
          span.updateName(name)
          span.setAttributes(attributes)
          if (hasFailed) span.setStatus({ code: SpanStatusCode.ERROR })
          span.end()
        },
      }
    },
    async trace(name, attributes, work) {
      const parent = current.getStore()
      if (parent === undefined) return work()
      const span = tracer.startSpan(name, { attributes }, parent)
      try {
        return await current.run(trace.setSpan(parent, span), work)
      } catch (error) {
        // An expected refusal has a code; texts of errors may quote what a client sent.
        span.setStatus({ code: SpanStatusCode.ERROR, message: isPlatformError(error) ? error.code : 'unexpected' })
        throw error
      } finally {
        span.end()
      }
    },
    async stop() {
      let timer: NodeJS.Timeout | undefined
      const late = new Promise<void>((resolve) => {
        timer = setTimeout(resolve, stopTimeoutMs)
      })
      try {
        await Promise.race([provider.shutdown().catch(options.onError), late])
      } finally {
        clearTimeout(timer)
      }
    },
  }
}

type Headers = Readonly<Record<string, string | string[] | undefined>>

const headerGetter: TextMapGetter<Headers> = { keys: (headers) => Object.keys(headers), get: (headers, name) => headers[name] }

function extracted(propagator: W3CTraceContextPropagator, headers: Headers): Context {
  return propagator.extract(ROOT_CONTEXT, headers, headerGetter)
}
