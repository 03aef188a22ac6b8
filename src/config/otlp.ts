/** Scheme, host and path of a server; undefined for a text that is something else. */
export function parseEndpoint(text: string): string | undefined {
  const url = URL.parse(text)
  if (url === null || (url.protocol !== 'http:' && url.protocol !== 'https:')) return undefined
  const isBare = url.search === '' && url.hash === '' && url.username === '' && url.password === ''
  return isBare ? url.href.replace(/\/+$/u, '') : undefined
}

/** As the specification of OTEL_EXPORTER_OTLP_HEADERS has it: https://opentelemetry.io/docs/specs/otel/protocol/exporter/. */
export function parseHeaders(text: string): Readonly<Record<string, string>> | undefined {
  const pairs = text.split(',').map((part) => /^\s*([\w!#$%&'*+.^`|~-]+)\s*=\s*([\x21-\x7e]*)\s*$/u.exec(part))
  try {
    const headers = pairs.map((pair) => [pair?.[1], pair === null ? undefined : decodeURIComponent(pair[2] ?? '')] as const)
    return headers.every(([name, value]) => name !== undefined && value !== undefined && !/[^\x20-\x7e]/u.test(value)) ? (Object.fromEntries(headers) as Record<string, string>) : undefined
  } catch {
    return undefined
  }
}
