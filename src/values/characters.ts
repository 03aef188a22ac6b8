/*
 * Tests on UTF-16 code units. The grammars of names, tags and digests are checked with loops over these
 * instead of regular expressions: their time is linear in the text whatever the text is.
 */

export function isDigit(unit: number): boolean {
  return unit >= 0x30 && unit <= 0x39
}

export function isLowerAlphanumeric(unit: number): boolean {
  return isDigit(unit) || (unit >= 0x61 && unit <= 0x7a)
}

export function isAlphanumeric(unit: number): boolean {
  return isLowerAlphanumeric(unit) || (unit >= 0x41 && unit <= 0x5a)
}

export function isLowerHex(unit: number): boolean {
  return isDigit(unit) || (unit >= 0x61 && unit <= 0x66)
}

/** True when every code unit of `text` from `start` on satisfies `test`. */
export function every(text: string, test: (unit: number) => boolean, start = 0): boolean {
  for (let at = start; at < text.length; at++) {
    if (!test(text.charCodeAt(at))) return false
  }
  return true
}
