/**
 * Of an address only where it leads: a path or a query may be what opens the door, as with most webhooks. For what is kept or
 * logged; `…` for what is no address.
 */
export function shownAddress(url: string): string {
  const { origin = 'null' } = URL.parse(url) ?? {}
  return origin === 'null' ? '…' : origin
}
