import { isRecord, type JsonRecord } from './json-text.ts'

/** Behind ECR's refusal of the copied form, where only ECR's own is taken. */
export const copiedFormHint =
  'Hint: "filter" and "lastModified" are not ECR\'s grammar, whatever examples say. Write "selection":{"tagStatus":"untagged",' +
  '"countType":"sinceImagePushed","countUnit":"days","countNumber":30}'

/** Whether a rule of the document has the form that examples copy from each other: `filter` in place of `selection`. */
export function hasCopiedForm(document: unknown): boolean {
  return isRecord(document) && Array.isArray(document['rules']) && document['rules'].some(isCopiedRule)
}

/**
 * Rewrites the rules in the copied form to ECR's: `filter` is the selection, its tagStatus is in lower case, and
 * `lastModified` the days since the push. Anything else stays, for the schema to refuse.
 */
export function rewriteCopiedForm(document: unknown): { document: unknown; notes: string[] } {
  if (!hasCopiedForm(document)) return { document, notes: [] }
  const notes: string[] = []
  const { rules, ...rest } = document as JsonRecord & { readonly rules: readonly unknown[] }
  const rewritten = rules.map((rule, index) => {
    if (!isCopiedRule(rule)) return rule
    notes.push(`Rule ${index + 1} was written with "filter", which ECR does not know; it was read as the selection that ECR knows.`)
    return rewriteRule(rule)
  })
  return { document: { rules: rewritten, ...rest }, notes }
}

function isCopiedRule(rule: unknown): rule is JsonRecord {
  return isRecord(rule) && isRecord(rule['filter']) && !Object.hasOwn(rule, 'selection')
}

function rewriteRule({ filter, action, ...rest }: JsonRecord): JsonRecord {
  const { tagStatus, lastModified, ...others } = filter as JsonRecord
  const isAge = isRecord(lastModified) && Object.keys(lastModified).length === 1 && Object.hasOwn(lastModified, 'days')
  const selection = {
    ...(tagStatus === undefined ? {} : { tagStatus: typeof tagStatus === 'string' ? tagStatus.toLowerCase() : tagStatus }),
    ...others,
    ...(isAge ? { countType: 'sinceImagePushed', countUnit: 'days', countNumber: lastModified['days'] } : lastModified === undefined ? {} : { lastModified }),
  }
  return { ...rest, selection, ...(action === undefined ? {} : { action }) }
}
