/** The first Node with a stable node:sqlite on a SQLite without the WAL-reset bug; also in package.json's engines. */
export const minimumNodeVersion = '24.15.0'

/** What to tell whoever runs an older Node; undefined where the version will do. */
export function unsupportedNodeText(version: string): string | undefined {
  if (!isOlder(version, minimumNodeVersion)) return undefined
  return [
    `Stowage needs Node ${minimumNodeVersion} or newer, and this is Node ${version}.`,
    '  In a checkout, `make run` fetches the right one by itself; elsewhere install it from https://nodejs.org/.',
  ].join('\n')
}

function isOlder(version: string, than: string): boolean {
  const left = version.split('.').map((part) => Number.parseInt(part, 10))
  const right = than.split('.').map((part) => Number.parseInt(part, 10))
  for (let index = 0; index < right.length; index += 1) {
    const difference = (left[index] ?? 0) - (right[index] ?? 0)
    if (difference !== 0) return difference < 0
  }
  return false
}
