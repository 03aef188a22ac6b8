/**
 * Of an address only where it leads: a path or a query may be what opens the door, as with most webhooks. For what is kept or
 * logged; `…` for what is no address.
 */
export function shownAddress(url: string): string {
  const { origin = 'null', protocol = '', host = '' } = URL.parse(url) ?? {}
  if (/^smtps?:$/u.test(protocol) && host !== '') return `${protocol}//${host}`
  return origin === 'null' ? '…' : origin
}
