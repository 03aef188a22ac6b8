import { run } from '../test/support/run.ts'
import { ensureTool } from '../test/support/tools.ts'
import type { Origin } from './http-connection.ts'

export interface WrkResult {
  readonly requests: number
  readonly elapsedMs: number
  readonly p50Ms: number
  readonly p99Ms: number
}

const unitMs: Readonly<Record<string, number>> = { us: 0.001, ms: 1, s: 1000, m: 60_000 }

/** Runs wrk against one path. @throws when an answer is no success or a connection fails */
export async function runWrk(
  origin: Origin,
  options: { path: string; headers: Readonly<Record<string, string>>; concurrency: number; durationMs: number },
): Promise<WrkResult> {
  const { path, concurrency, durationMs } = options
  const headers = { ...(origin.authorization === null ? {} : { authorization: origin.authorization }), ...options.headers }
  const { stdout } = await run(ensureTool('wrk'), [
    '--threads',
    '1',
    '--connections',
    String(concurrency),
    '--duration',
    `${Math.max(1, Math.round(durationMs / 1000))}s`,
    '--latency',
    ...Object.entries(headers).flatMap(([name, value]) => ['--header', `${name}: ${value}`]),
    `http://${origin.host}:${origin.port}${path}`,
  ])
  if (/Non-2xx|Socket errors/.test(stdout)) throw new Error(`wrk met errors at ${path}\n${stdout}`)
  const [, requests, elapsed, elapsedUnit] = match(stdout, /(\d+) requests in ([\d.]+)(us|ms|s|m)/)
  return {
    requests: Number(requests),
    elapsedMs: Number(elapsed) * unitMs[elapsedUnit!]!,
    p50Ms: percentile(stdout, 50),
    p99Ms: percentile(stdout, 99),
  }
}

function percentile(output: string, percent: number): number {
  const [, value, unit] = match(output, new RegExp(`^\\s+${percent}%\\s+([\\d.]+)(us|ms|s|m)$`, 'm'))
  return Number(value) * unitMs[unit!]!
}

function match(output: string, pattern: RegExp): RegExpExecArray {
  const found = pattern.exec(output)
  if (found === null) throw new Error(`wrk printed something unexpected\n${output}`)
  return found
}
