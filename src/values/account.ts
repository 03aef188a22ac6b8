import type { Brand } from './brand.ts'
import { every, isDigit, isLowerAlphanumeric } from './characters.ts'
import { quoted, valueError } from './errors.ts'

/** Twelve digits; a text, because the first may be 0. */
export type AccountId = Brand<string, 'AccountId'>

/** A region's name, such as `eu-central-1`. Any name of the right form is one: installations invent their own. */
export type Region = Brand<string, 'Region'>

const accountIdLength = 12
const minRegionLength = 2
const maxRegionLength = 25

const dash = 0x2d

/** @throws `account-id-invalid` */
export function parseAccountId(text: string): AccountId {
  if (text.length !== accountIdLength || !every(text, isDigit)) {
    throw valueError('account-id-invalid', `An account ID is ${accountIdLength} digits.`, { accountId: quoted(text) })
  }
  return text as AccountId
}

/** @throws `region-invalid` */
export function parseRegion(text: string): Region {
  if (text.length < minRegionLength || text.length > maxRegionLength || !every(text, isRegionCharacter)) {
    throw valueError(
      'region-invalid',
      `A region is ${minRegionLength} to ${maxRegionLength} lower-case letters, digits and "-".`,
      { region: quoted(text) },
    )
  }
  return text as Region
}

function isRegionCharacter(unit: number): boolean {
  return isLowerAlphanumeric(unit) || unit === dash
}
