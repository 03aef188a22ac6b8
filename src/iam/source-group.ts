import { isIPv4, isIPv6 } from 'node:net'

/**
 * The network that counts as one sender: an IPv4 address itself (also where it is written as an IPv6 one), the /64 of
 * an IPv6 address, since whoever has one address there has them all. What is no address counts as one sender, `unknown`.
 */
export function sourceGroup(ip: string): string {
  // Always a new text: a piece cut from a header would keep the whole header in memory for as long as it is remembered.
  if (isIPv4(ip)) return `${ip}/32`
  if (!isIPv6(ip)) return 'unknown'
  const groups = ipv6Groups(ip)
  const high = groups[6] ?? 0
  const low = groups[7] ?? 0
  const mapped = groups.slice(0, 5).every((group) => group === 0) && groups[5] === 0xffff
  if (mapped) return `${high >> 8}.${high & 255}.${low >> 8}.${low & 255}/32`
  const network = groups.slice(0, 4).map((group) => group.toString(16))
  return `${network.join(':')}::/64`
}

/** The eight groups of an address that `isIPv6` accepts. */
function ipv6Groups(ip: string): number[] {
  const zone = ip.indexOf('%')
  const [head = '', tail] = (zone === -1 ? ip : ip.slice(0, zone)).split('::')
  const before = parseGroups(head)
  if (tail === undefined) return before
  const after = parseGroups(tail)
  const gap = new Array<number>(Math.max(0, 8 - before.length - after.length)).fill(0)
  return [...before, ...gap, ...after]
}

function parseGroups(text: string): number[] {
  if (text === '') return []
  return text.split(':').flatMap((group) => {
    if (!group.includes('.')) return [Number.parseInt(group, 16)]
    const [a = 0, b = 0, c = 0, d = 0] = group.split('.').map(Number)
    return [a * 256 + b, c * 256 + d]
  })
}
