import { shownAddress } from '../../internal/outbound/shown-address.ts'

/*
 * What the audit trail keeps of an operation's input and output: enough to see what was asked for, bounded, and nothing
 * that opens a door.
 */

const maxTextLength = 512
const maxItems = 20
const maxDepth = 4
/** Of all that is kept of an input. */
const maxTextsLength = 4096

/**
 * Members that are left out wherever they stand: secrets, tokens, sealed positions in lists, lines of logs, and bytes. A manifest
 * is named by its digest.
 */
const leftOut = /token|secret|password|credential|signature|^(?:layerPartBlob|imageManifest|thumbprintList|logEvents)$/iu

/** Of outputs only these are kept, since what is new in one may be a secret. They stand at the top, or in `image` and `repository`. */
const keptOutputs: ReadonlySet<string> = new Set(['imageId', 'layerDigest', 'lastByteReceived', 'repositoryArn', 'repositoryName', 'registryId', 'runId', 'trashBatch', 'uploadId'])

/** A checked input without what must not be kept. */
export function recordedInput(input: unknown): Readonly<Record<string, unknown>> | undefined {
  if (typeof input !== 'object' || input === null) return undefined
  const budget = { left: maxTextsLength }
  const kept = keptMembers(input, budget, 0)
  return Object.keys(kept).length === 0 ? undefined : kept
}

/** What an output names. */
export function recordedOutput(output: unknown): Readonly<Record<string, unknown>> | undefined {
  if (typeof output !== 'object' || output === null) return undefined
  const budget = { left: maxTextsLength }
  const kept: Record<string, unknown> = {}
  for (const [name, value] of Object.entries(output)) {
    const isHolder = (name === 'image' || name === 'repository') && typeof value === 'object' && value !== null
    if (isHolder) kept[name] = keptMembers(Object.fromEntries(Object.entries(value as object).filter(([member]) => keptOutputs.has(member))), budget, 1)
    else if (keptOutputs.has(name)) kept[name] = keptValue(value, budget, 1)
  }
  return Object.keys(kept).length === 0 ? undefined : kept
}

interface Budget {
  left: number
}

function keptMembers(value: object, budget: Budget, depth: number): Record<string, unknown> {
  const kept: Record<string, unknown> = {}
  let count = 0
  for (const [name, member] of Object.entries(value)) {
    if (member === undefined || leftOut.test(name)) continue
    count += 1
    if (count > maxItems || budget.left <= 0) break
    budget.left -= name.length
    // A webhook's, which is a secret as often as not; that of an identity provider is a `Url`.
    kept[name] = keptValue(name === 'url' && typeof member === 'string' ? shownAddress(member) : member, budget, depth + 1)
  }
  return kept
}

function keptValue(value: unknown, budget: Budget, depth: number): unknown {
  switch (typeof value) {
    case 'string':
      return keptText(value, budget)
    case 'number':
    case 'boolean':
      budget.left -= 8
      return value
    case 'object':
      break
    default:
      return undefined
  }
  if (value === null) return null
  if (value instanceof Date) return value.toISOString()
  if (depth > maxDepth || value instanceof Uint8Array) return '…'
  if (!Array.isArray(value)) return keptMembers(value instanceof Map ? (Object.fromEntries(value) as object) : value, budget, depth)
  const kept: unknown[] = []
  for (const item of value) {
    if (kept.length === maxItems || budget.left <= 0) {
      kept.push('…')
      break
    }
    kept.push(keptValue(item, budget, depth + 1))
  }
  return kept
}

function keptText(text: string, budget: Budget): string {
  const length = Math.max(0, Math.min(maxTextLength, budget.left))
  budget.left -= Math.min(text.length, length) + 1
  return text.length > length ? `${text.slice(0, length)}…` : text
}
