/**
 * True where `If-None-Match` says that the client has this content already: 304 then. RFC 9110 §13.1.2; the
 * comparison is weak, so `W/"…"` matches, and unquoted digests, which some clients send, match too.
 */
export function isNotModified(ifNoneMatch: string | undefined, digest: string): boolean {
  if (ifNoneMatch === undefined) return false
  if (ifNoneMatch.trim() === '*') return true
  return ifNoneMatch.split(',').some((candidate) => opaqueTag(candidate) === digest)
}

/**
 * True where a `Range` is to be honoured: there is no `If-Range`, or it names this content by a strong validator. Dates
 * never match, since nothing here has a modification time. RFC 9110 §13.1.5.
 */
export function isRangeCurrent(ifRange: string | undefined, digest: string): boolean {
  return ifRange === undefined || ifRange.trim() === entityTag(digest)
}

/** A digest names its bytes for ever, so it is a strong validator. */
export function entityTag(digest: string): string {
  return `"${digest}"`
}

function opaqueTag(text: string): string {
  const trimmed = text.trim()
  const strong = trimmed.startsWith('W/') ? trimmed.slice(2) : trimmed
  return strong.startsWith('"') && strong.endsWith('"') && strong.length >= 2 ? strong.slice(1, -1) : strong
}
