/** A policy document as IAM sends it: percent-encoded as RFC 3986 has it. */
export function encodePolicyDocument(document: string): string {
  return encodeURIComponent(document).replaceAll(/[!'()*]/g, (character) => `%${character.charCodeAt(0).toString(16).toUpperCase()}`)
}
