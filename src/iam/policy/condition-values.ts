import { every, isDigit } from '../../values/characters.ts'

/** A decimal number, of an IAM policy or a request; undefined if it is none. */
export function numberOf(text: string): number | undefined {
  if (!/^[+-]?\d{1,30}(\.\d{0,30})?$/.test(text)) return undefined
  return Number(text)
}

/** `true` or `false` in any case; undefined for anything else. */
export function booleanOf(text: string): boolean | undefined {
  const word = text.toLowerCase()
  return word === 'true' ? true : word === 'false' ? false : undefined
}

const dateForm =
  /^(?<year>\d{4})(?:-?(?<month>\d\d)(?:-?(?<day>\d\d)(?:[Tt](?<hour>\d\d):?(?<minute>\d\d)(?::?(?<second>\d\d)(?:\.(?<fraction>\d{1,9}))?)?(?<zone>[Zz]|[+-]\d\d:?\d\d)?)?)?)?$/

/**
 * Milliseconds since the Unix epoch of a time in one of the forms of ISO 8601 that the W3C's note on dates lists, of their
 * forms without separators, or of seconds since the epoch; undefined if it is none. Without a zone it is UTC.
 *
 * Four digits are a year, eight a day; other runs of digits are seconds.
 */
export function instantOf(text: string): number | undefined {
  if (every(text, isDigit) && text !== '' && text.length !== 4 && text.length !== 8) {
    return text.length <= 12 ? Number(text) * 1000 : undefined
  }
  const parts = dateForm.exec(text)?.groups
  if (parts === undefined) return undefined
  const { year, month = '01', day = '01', hour = '00', minute = '00', second = '00', fraction = '0', zone = 'Z' } = parts
  const instant = Date.parse(`${year}-${month}-${day}T${hour}:${minute}:${second}.${fraction.padEnd(3, '0').slice(0, 3)}Z`)
  return Number.isNaN(instant) ? undefined : instant - zoneOffsetMs(zone)
}

function zoneOffsetMs(zone: string): number {
  if (zone === 'Z' || zone === 'z') return 0
  const minutes = Number(zone.slice(1, 3)) * 60 + Number(zone.slice(-2))
  return (zone.startsWith('-') ? -minutes : minutes) * 60_000
}

/** The bytes that Base64 stands for, as a text to compare; undefined if it is no Base64. */
export function binaryOf(text: string): string | undefined {
  if (!/^[A-Za-z0-9+/]*={0,2}$/.test(text)) return undefined
  return Buffer.from(text, 'base64').toString('latin1')
}
