/** Bytes `start` up to, not including, `endExclusive`. */
export interface ByteRange {
  readonly start: number
  readonly endExclusive: number
}

/**
 * - `whole`: no usable `Range`; answer 200 with everything.
 * - `partial`: one range or, as the client ordered them, several.
 * - `unsatisfiable`: 416.
 * - `excessive`: too many ranges, or ranges that add up to more than the content; 400. (Partial pulls of zstd:chunked
 *   layers start with up to a thousand ranges and ask again with half as many after a 400, but only after that.)
 */
export type RangeSelection =
  | { readonly kind: 'whole' }
  | { readonly kind: 'partial'; readonly ranges: readonly ByteRange[] }
  | { readonly kind: 'unsatisfiable' }
  | { readonly kind: 'excessive' }

/** Each range of an answer costs a read and a part header; more of them than this buy a client nothing. */
export const maxRangeCount = 64

const whole: RangeSelection = { kind: 'whole' }
const unsatisfiable: RangeSelection = { kind: 'unsatisfiable' }
const excessive: RangeSelection = { kind: 'excessive' }

/**
 * Reads a `Range` header against content of `sizeBytes`. RFC 9110 §14.1.2 and §14.2.
 *
 * Unknown units and malformed ranges are ignored, as the RFC wants. Two cases differ from its letter: a range whose
 * end lies before its start (`500-0`) is unsatisfiable instead of ignored, which is what the conformance suite of the
 * distribution specification expects; and ranges of empty content are ignored, since a client that always sends
 * `bytes=0-` wants the empty content and not an error.
 */
export function selectRanges(header: string | undefined, sizeBytes: number): RangeSelection {
  if (header === undefined || sizeBytes === 0) return whole
  const equals = header.indexOf('=')
  if (equals === -1 || header.slice(0, equals).trim().toLowerCase() !== 'bytes') return whole
  const specs = header.slice(equals + 1).split(',')
  const ranges: ByteRange[] = []
  let requestedCount = 0
  let selectedBytes = 0
  for (const spec of specs) {
    const text = spec.trim()
    if (text === '') continue
    const range = parseRange(text, sizeBytes)
    if (range === 'malformed') return whole
    if (++requestedCount > maxRangeCount) return excessive
    if (range === 'outside') continue
    ranges.push(range)
    selectedBytes += range.endExclusive - range.start
  }
  if (requestedCount === 0) return whole
  if (ranges.length === 0) return unsatisfiable
  // Overlapping ranges would let a small request ask for the same bytes again and again.
  if (ranges.length > 1 && selectedBytes > sizeBytes) return excessive
  return { kind: 'partial', ranges }
}

/** `a-b`, `a-` or `-n`. Positions beyond what a number holds exactly are beyond any content, too. */
function parseRange(text: string, sizeBytes: number): ByteRange | 'malformed' | 'outside' {
  const dash = text.indexOf('-')
  if (dash === -1) return 'malformed'
  const first = text.slice(0, dash)
  const last = text.slice(dash + 1)
  if (!isNumber(first) || !isNumber(last) || (first === '' && last === '')) return 'malformed'
  if (first === '') {
    const length = Number(last)
    return length === 0 ? 'outside' : { start: Math.max(sizeBytes - length, 0), endExclusive: sizeBytes }
  }
  const start = Number(first)
  const endExclusive = last === '' ? sizeBytes : Math.min(Number(last) + 1, sizeBytes)
  return start >= sizeBytes || endExclusive <= start ? 'outside' : { start, endExclusive }
}

function isNumber(text: string): boolean {
  return /^[0-9]*$/.test(text)
}
