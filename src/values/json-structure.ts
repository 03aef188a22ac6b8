/**
 * Image documents nest four or five levels deep; custom fields may add some. Far below what would hurt a
 * recursive reader of the same bytes, here or in a client.
 */
const maxDepth = 64

/** Far more members than any object of a manifest has, and few enough to remember while looking for repeats. */
const maxMembersOfObject = 10_000

/**
 * Ten for each descriptor that a manifest may have. Each costs a parser far more than its bytes: V8 takes a second for
 * the half million differently named members that 4 MiB hold, and everybody's requests wait for it.
 */
const maxMembers = 100_000

/** Ten for each descriptor that a manifest may have; each costs a parser's memory far more than its two bytes. */
const maxContainers = 100_000

/** Names and values of all those members. */
const maxStrings = 200_000

const quote = 0x22
const backslash = 0x5c
const colon = 0x3a
const braceOpen = 0x7b
const braceClose = 0x7d
const bracketOpen = 0x5b
const bracketClose = 0x5d

/**
 * Why a JSON text could be read in more than one way, or costs too much to read; undefined if neither.
 *
 * JSON parsers differ on a repeated key: most keep the last value, some the first. A document with one can
 * show the registry other content than it shows a client, so this looks for repeats in every object, with
 * escapes resolved. One pass, linear in the text. It does not check the syntax: `JSON.parse` does that.
 */
export function findStructuralProblem(text: string): string | undefined {
  /** What is open around the current position: an object with the keys seen so far, or an array. */
  const open: (Set<string> | 'array')[] = []
  let containers = 0
  let members = 0
  let strings = 0
  let at = 0
  while (at < text.length) {
    switch (text.charCodeAt(at)) {
      case braceOpen:
      case bracketOpen:
        if (open.length === maxDepth) return `It nests deeper than ${maxDepth} levels.`
        if (++containers > maxContainers) return `It has more than ${maxContainers} objects and arrays.`
        open.push(text.charCodeAt(at) === braceOpen ? new Set() : 'array')
        at++
        break
      case braceClose:
      case bracketClose:
        open.pop()
        at++
        break
      case quote: {
        if (++strings > maxStrings) return `It has more than ${maxStrings} strings.`
        const end = stringEnd(text, at)
        const keys = open.at(-1)
        if (keys instanceof Set && isBeforeColon(text, end)) {
          const key = decodeString(text, at, end)
          if (key === undefined) return 'It is not valid JSON.'
          if (keys.has(key)) return 'An object in it has the same key twice.'
          if (keys.size === maxMembersOfObject) return `An object in it has more than ${maxMembersOfObject} keys.`
          if (++members > maxMembers) return `Its objects have more than ${maxMembers} keys together.`
          keys.add(key)
        }
        at = end
        break
      }
      default:
        at++
    }
  }
  return undefined
}

/** The position behind the closing quote of the JSON string that begins at `start`, or the text's end if there is none. */
export function stringEnd(text: string, start: number): number {
  for (let at = start + 1; at < text.length; at++) {
    const unit = text.charCodeAt(at)
    if (unit === quote) return at + 1
    if (unit === backslash) at++
  }
  return text.length
}

/** Whether the string that ends before `from` is a member's name. */
export function isBeforeColon(text: string, from: number): boolean {
  let at = from
  while (isWhitespace(text.charCodeAt(at))) at++
  return text.charCodeAt(at) === colon
}

function isWhitespace(unit: number): boolean {
  return unit === 0x20 || unit === 0x0a || unit === 0x0d || unit === 0x09
}

function decodeString(text: string, start: number, end: number): string | undefined {
  const raw = text.slice(start + 1, end - 1)
  if (!raw.includes('\\')) return raw
  try {
    return JSON.parse(text.slice(start, end)) as string
  } catch {
    return undefined
  }
}
