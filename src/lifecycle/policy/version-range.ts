import { compareVersions, parseVersion, type SemanticVersion } from './semantic-version.ts'

/** Whether a version is in a range. */
export type VersionTest = (version: SemanticVersion) => boolean

/** More alternatives and bounds than anybody writes. */
const maxComparators = 50

/**
 * Reads a range as npm writes them: `>=1.2 <3`, `1.x`, `~1.2.3`, `^2`, joined by `||`. One thing is simpler than there: a
 * pre-release belongs to the version that it precedes. A bound without a pre-release compares major, minor and patch only, so
 * `<2` has neither 2.0.0 nor 2.0.0-rc.1. A whole version alone is that version exactly.
 *
 * @returns what is wrong with the text, where it is no range
 */
export function parseVersionRange(text: string): VersionTest | string {
  const alternatives: VersionTest[] = []
  let comparators = 0
  for (const alternative of text.split('||')) {
    const words = alternative.replaceAll(/(?<operator>>=|<=|[<>=~^])\s+/gu, '$<operator>').split(/\s+/u).filter((word) => word !== '')
    if (words.length === 0) return 'a range has no empty alternatives'
    comparators += words.length
    if (comparators > maxComparators) return `a range has at most ${maxComparators} bounds`
    const tests: VersionTest[] = []
    for (const word of words) {
      const test = parseComparator(word)
      if (test === undefined) return `${JSON.stringify(word)} is no bound such as >=1.2, <2.0.0, 1.x, ~1.2.3 or ^1.2`
      tests.push(test)
    }
    alternatives.push((version) => tests.every((test) => test(version)))
  }
  return (version) => alternatives.some((test) => test(version))
}

function parseComparator(word: string): VersionTest | undefined {
  const operator = /^(?:>=|<=|[<>=~^])/u.exec(word)?.[0] ?? ''
  const operand = word.slice(operator.length)
  const partial = parsePartial(operand)
  if (partial !== undefined) return partialTest(operator, partial)
  const version = parseVersion(operand)
  return version === undefined ? undefined : wholeTest(operator, version)
}

/** A version of which the end is left open: `1`, `1.x`, `1.2`; `*` is all of them. */
type Partial = readonly [] | readonly [major: number] | readonly [major: number, minor: number]

function parsePartial(text: string): Partial | undefined {
  const parts = (text.startsWith('v') ? text.slice(1) : text).split('.')
  if (parts.length > 3) return undefined
  const isOpen = (part: string): boolean => part === 'x' || part === 'X' || part === '*'
  const firstOpen = parts.findIndex(isOpen)
  if (firstOpen >= 0 && !parts.slice(firstOpen).every(isOpen)) return undefined
  const closed = firstOpen < 0 ? parts : parts.slice(0, firstOpen)
  if (closed.length > 2 || !closed.every((part) => /^(?:0|[1-9]\d{0,14})$/u.test(part))) return undefined
  const [major, minor] = closed.map(Number)
  if (major === undefined) return []
  return minor === undefined ? [major] : [major, minor]
}

type Core = readonly [major: number, minor: number, patch: number]

function partialTest(operator: string, partial: Partial): VersionTest {
  const [major, minor] = partial
  if (major === undefined) return operator === '<' || operator === '>' ? () => false : () => true
  const low: Core = [major, minor ?? 0, 0]
  const high: Core = minor === undefined ? [major + 1, 0, 0] : [major, minor + 1, 0]
  switch (operator) {
    case '>=':
      return (version) => compareCore(version, low) >= 0
    case '<':
      return (version) => compareCore(version, low) < 0
    case '>':
      return (version) => compareCore(version, high) >= 0
    case '<=':
      return (version) => compareCore(version, high) < 0
    case '^':
      return between(low, major > 0 || minor === undefined ? [major + 1, 0, 0] : high)
    default:
      return between(low, high)
  }
}

function wholeTest(operator: string, bound: SemanticVersion): VersionTest {
  const { major, minor, patch, prerelease } = bound
  const core: Core = [major, minor, patch]
  // A bound that names a pre-release means the exact order; one that does not means the version with its pre-releases.
  const compare: VersionComparison = prerelease.length > 0 ? (version) => compareVersions(version, bound) : (version) => compareCore(version, core)
  switch (operator) {
    case '>=':
      return (version) => compare(version) >= 0
    case '<':
      return (version) => compare(version) < 0
    case '>':
      return (version) => compare(version) > 0
    case '<=':
      return (version) => compare(version) <= 0
    case '~':
      return (version) => compare(version) >= 0 && compareCore(version, [major, minor + 1, 0]) < 0
    case '^': {
      const high: Core = major > 0 ? [major + 1, 0, 0] : minor > 0 ? [0, minor + 1, 0] : [0, 0, patch + 1]
      return (version) => compare(version) >= 0 && compareCore(version, high) < 0
    }
    default:
      return (version) => compareVersions(version, bound) === 0
  }
}

type VersionComparison = (version: SemanticVersion) => number

function between(low: Core, high: Core): VersionTest {
  return (version) => compareCore(version, low) >= 0 && compareCore(version, high) < 0
}

function compareCore({ major, minor, patch }: SemanticVersion, [otherMajor, otherMinor, otherPatch]: Core): number {
  return major - otherMajor || minor - otherMinor || patch - otherPatch
}
