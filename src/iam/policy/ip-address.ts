import { every, isDigit } from '../../values/characters.ts'

/** Four bytes of an IPv4 address, or sixteen of an IPv6 one. */
export type IpAddress = readonly number[]

export interface IpRange {
  readonly address: IpAddress
  readonly prefixBits: number
}

/** The bytes before an IPv4 address inside an IPv6 one. */
const mappedPrefix = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff]

/** An address; one of IPv4 inside IPv6 (`::ffff:192.0.2.1`) is the one of IPv4. Undefined if it is none. */
export function parseIpAddress(text: string): IpAddress | undefined {
  const bytes = text.includes(':') ? ipv6Bytes(text) : ipv4Bytes(text)
  return bytes !== undefined && isMapped(bytes) ? bytes.slice(mappedPrefix.length) : bytes
}

/** An address, or a range as `192.0.2.0/24`; undefined if it is neither. Bits behind the prefix do not count. */
export function parseIpRange(text: string): IpRange | undefined {
  const slash = text.indexOf('/')
  const bytes = (slash === -1 ? text : text.slice(0, slash)).includes(':')
    ? ipv6Bytes(slash === -1 ? text : text.slice(0, slash))
    : ipv4Bytes(slash === -1 ? text : text.slice(0, slash))
  if (bytes === undefined) return undefined
  const prefixBits = slash === -1 ? bytes.length * 8 : prefixOf(text.slice(slash + 1), bytes.length * 8)
  if (prefixBits === undefined) return undefined
  const mappedBits = mappedPrefix.length * 8
  if (isMapped(bytes) && prefixBits >= mappedBits) {
    return { address: bytes.slice(mappedPrefix.length), prefixBits: prefixBits - mappedBits }
  }
  return { address: bytes, prefixBits }
}

export function isInIpRange(address: IpAddress, range: IpRange): boolean {
  if (address.length !== range.address.length) return false
  const wholeBytes = range.prefixBits >> 3
  for (let at = 0; at < wholeBytes; at++) {
    if (address[at] !== range.address[at]) return false
  }
  const restBits = range.prefixBits & 7
  if (restBits === 0) return true
  return address[wholeBytes]! >> (8 - restBits) === range.address[wholeBytes]! >> (8 - restBits)
}

function isMapped(bytes: IpAddress): boolean {
  return bytes.length === 16 && mappedPrefix.every((byte, at) => bytes[at] === byte)
}

function prefixOf(text: string, maxBits: number): number | undefined {
  if (text === '' || text.length > 3 || !every(text, isDigit)) return undefined
  const bits = Number(text)
  return bits <= maxBits ? bits : undefined
}

function ipv4Bytes(text: string): IpAddress | undefined {
  if (text.length > 15) return undefined
  const parts = text.split('.')
  if (parts.length !== 4) return undefined
  const bytes = parts.map((part) => (part !== '' && part.length <= 3 && every(part, isDigit) ? Number(part) : 256))
  return bytes.every((byte) => byte <= 255) ? bytes : undefined
}

function ipv6Bytes(text: string): IpAddress | undefined {
  // The longest way to write one, with an IPv4 address at its end.
  if (text.length > 45) return undefined
  const halves = text.split('::')
  if (halves.length > 2) return undefined
  const head = groupBytes(halves[0]!, halves.length === 1)
  const tail = halves[1] === undefined ? [] : groupBytes(halves[1], true)
  if (head === undefined || tail === undefined) return undefined
  const missing = 16 - head.length - tail.length
  if (halves.length === 1 ? missing !== 0 : missing < 2) return undefined
  return [...head, ...new Array<number>(missing).fill(0), ...tail]
}

/** The bytes of groups of four hexadecimal digits; at the end of an address, the last group may be an IPv4 address. */
function groupBytes(text: string, isEnd: boolean): number[] | undefined {
  if (text === '') return []
  const bytes: number[] = []
  const groups = text.split(':')
  for (const [index, group] of groups.entries()) {
    if (isEnd && index === groups.length - 1 && group.includes('.')) {
      const last = ipv4Bytes(group)
      if (last === undefined) return undefined
      bytes.push(...last)
    } else {
      if (!/^[0-9A-Fa-f]{1,4}$/.test(group)) return undefined
      const value = Number.parseInt(group, 16)
      bytes.push(value >> 8, value & 0xff)
    }
  }
  return bytes
}
