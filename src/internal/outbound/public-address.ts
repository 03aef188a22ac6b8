import { BlockList, isIPv4, isIPv6 } from 'node:net'

/** IPv4 networks that are no public host's: RFC 6890 and what was registered after it, multicast and the reserved rest. */
const notPublic4: readonly (readonly [network: string, prefix: number])[] = [
  ['0.0.0.0', 8],
  ['10.0.0.0', 8],
  ['100.64.0.0', 10],
  ['127.0.0.0', 8],
  // Link-local, and where clouds give machines their credentials.
  ['169.254.0.0', 16],
  ['172.16.0.0', 12],
  ['192.0.0.0', 24],
  ['192.0.2.0', 24],
  ['192.88.99.0', 24],
  ['192.168.0.0', 16],
  ['198.18.0.0', 15],
  ['198.51.100.0', 24],
  ['203.0.113.0', 24],
  ['224.0.0.0', 4],
  ['240.0.0.0', 4],
]

/** Global unicast; everything else (loopback, unique local, link-local, multicast, mapped and translated IPv4) is not. */
const public6 = ['2000::', 3] as const

/** What is not public within it: protocol assignments with Teredo, documentation, 6to4. */
const notPublic6: readonly (readonly [network: string, prefix: number])[] = [
  ['2001::', 23],
  ['2001:db8::', 32],
  ['2002::', 16],
  ['3fff::', 20],
]

const refused4 = new BlockList()
for (const [network, prefix] of notPublic4) refused4.addSubnet(network, prefix, 'ipv4')
const global6 = new BlockList()
global6.addSubnet(...public6, 'ipv6')
const refused6 = new BlockList()
for (const [network, prefix] of notPublic6) refused6.addSubnet(network, prefix, 'ipv6')

/** True for an IP address that anybody on the internet could be asked at. What is no address is not public. */
export function isPublicAddress(address: string): boolean {
  if (isIPv4(address)) return !refused4.check(address, 'ipv4')
  if (!isIPv6(address) || address.includes('%')) return false
  return global6.check(address, 'ipv6') && !refused6.check(address, 'ipv6')
}
