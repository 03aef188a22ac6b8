/** A version of semver.org 2.0.0. Build metadata has no place in a tag and none in the order. */
export interface SemanticVersion {
  readonly major: number
  readonly minor: number
  readonly patch: number
  /** The identifiers behind the hyphen; empty for a release. */
  readonly prerelease: readonly (string | number)[]
}

/** A version in a form that compares fast: first the number, then the text. Equal versions have equal keys. */
export interface VersionKey {
  readonly packed: number
  readonly text: string
}

/** Digits of a number that is still exact. */
const maxDigits = 15

/** The number at `start`, without a leading zero; undefined where there is none. */
function readNumber(text: string): number | undefined {
  if (text.length === 0 || text.length > maxDigits || (text.length > 1 && text.startsWith('0'))) return undefined
  return isDigits(text) ? Number(text) : undefined
}

function isDigits(text: string): boolean {
  for (let at = 0; at < text.length; at++) {
    const unit = text.charCodeAt(at)
    if (unit < 0x30 || unit > 0x39) return false
  }
  return text.length > 0
}

/**
 * The version that a tag names: `1.2.3`, `v1.2.3-rc.1`. A tag of one or two numbers, such as `1.2`, is none: it is a name that
 * moves from version to version. Identifiers of a pre-release may hold underscores, which tags use for the plus.
 */
export function parseVersion(tag: string): SemanticVersion | undefined {
  const text = tag.startsWith('v') || tag.startsWith('V') ? tag.slice(1) : tag
  const hyphen = text.indexOf('-')
  const core = (hyphen < 0 ? text : text.slice(0, hyphen)).split('.')
  if (core.length !== 3) return undefined
  const [major, minor, patch] = core.map(readNumber)
  if (major === undefined || minor === undefined || patch === undefined) return undefined
  if (hyphen < 0) return { major, minor, patch, prerelease: [] }
  const prerelease: (string | number)[] = []
  for (const identifier of text.slice(hyphen + 1).split('.')) {
    if (isDigits(identifier)) {
      const number = readNumber(identifier)
      if (number === undefined) return undefined
      prerelease.push(number)
    } else {
      if (!/^[0-9A-Za-z_-]+$/u.test(identifier)) return undefined
      prerelease.push(identifier)
    }
  }
  return { major, minor, patch, prerelease }
}

/** Below 0 when `a` comes before `b`: semver.org 2.0.0, 11. */
export function compareVersions(a: SemanticVersion, b: SemanticVersion): number {
  return compareCore(a, b) || comparePrerelease(a.prerelease, b.prerelease)
}

function compareCore(a: SemanticVersion, b: SemanticVersion): number {
  return a.major - b.major || a.minor - b.minor || a.patch - b.patch
}

function comparePrerelease(a: SemanticVersion['prerelease'], b: SemanticVersion['prerelease']): number {
  if (a.length === 0 || b.length === 0) return b.length - a.length
  for (const [index, mine] of a.entries()) {
    const other = b[index]
    if (other === undefined) return 1
    if (mine === other) continue
    if (typeof mine === 'number') return typeof other === 'number' ? mine - other : -1
    if (typeof other === 'number') return 1
    return mine < other ? -1 : 1
  }
  return a.length - b.length
}

/** Bits of each of the three numbers in `packed`: together with the one for a release they are exact in a double. */
const packedLimit = 2 ** 17 - 1

/** `compareKeys` of two keys is `compareVersions` of their versions. */
export function versionKey(version: SemanticVersion): VersionKey {
  const { major, minor, patch, prerelease } = version
  // A number that is too large leaves the decision, and that of all behind it, to the text.
  const [a, b, c] = [major, minor, patch].map((part, index, parts) =>
    parts.slice(0, index + 1).some((each) => each >= packedLimit) ? packedLimit : part,
  ) as [number, number, number]
  const isRelease = prerelease.length === 0 && c < packedLimit
  const packed = ((a * (packedLimit + 1) + b) * (packedLimit + 1) + c) * 2 + (isRelease ? 1 : 0)
  const core = c < packedLimit ? '' : [major, minor, patch].map(sortableNumber).join('')
  return { packed, text: core + prereleaseText(prerelease) }
}

export function compareKeys(a: VersionKey, b: VersionKey): number {
  if (a.packed !== b.packed) return a.packed - b.packed
  return a.text < b.text ? -1 : a.text > b.text ? 1 : 0
}

function sortableNumber(number: number): string {
  const digits = String(number)
  return String.fromCharCode(0x40 + digits.length) + digits
}

/** Sorts as the identifiers do: an end before any further one, numbers before words, a release behind everything. */
function prereleaseText(prerelease: SemanticVersion['prerelease']): string {
  if (prerelease.length === 0) return '\x7f'
  const parts = prerelease.map((part) => (typeof part === 'number' ? `\x02${sortableNumber(part)}` : `\x03${part}\x00`))
  return `${parts.join('')}\x01`
}
