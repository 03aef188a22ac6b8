import { noSchemaFitsReason } from './ecr-document.ts'
import { isRecord, readJson } from './json-text.ts'

const byteOrderMark = '\uFEFF'

/** The text as it would be without what some editors put in front of it. */
export function withoutByteOrderMark(text: string): string {
  return text.startsWith(byteOrderMark) ? text.slice(byteOrderMark.length) : text
}

/**
 * What the refusal of a policy leaves unsaid: that no schema fits is ECR's sentence for many mistakes, and a byte order mark is
 * seen by nobody. Undefined where it says enough, or where the mistake is not easily told.
 *
 * @param reason of the refusal, without what is around it
 */
export function unsaidCause(text: string, reason: unknown): string | undefined {
  if (text.startsWith(byteOrderMark)) return 'It begins with a byte order mark, which no JSON has: save it without one.'
  if (reason !== noSchemaFitsReason) return undefined
  const document = readJson(text)?.value
  const rules: readonly unknown[] = isRecord(document) && Array.isArray(document['rules']) ? document['rules'] : []
  for (const [index, rule] of rules.entries()) {
    const cause = isRecord(rule) ? causeIn(rule['selection'], rule['action']) : undefined
    if (cause !== undefined) return `Rule ${index + 1} ${cause}`
  }
  return undefined
}

function causeIn(selection: unknown, action: unknown): string | undefined {
  if (!isRecord(selection)) return undefined
  const { countType } = selection
  const hasUnit = Object.hasOwn(selection, 'countUnit')
  if (countType === 'imageCountMoreThan') return hasUnit ? 'counts images, and so must have no "countUnit".' : undefined
  if (typeof countType !== 'string' || !countType.startsWith('since')) return undefined
  if (!hasUnit) return `has no "countUnit": beside "countType": "${countType}" stands "countUnit": "days".`
  if (countType !== 'sinceImagePulled' || !isRecord(action) || action['type'] !== 'expire') return undefined
  return 'deletes by the last pull, by which a rule of ECR can only archive. A retention policy can: "since": "pulled".'
}
