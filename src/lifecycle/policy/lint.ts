import { isPlatformError } from '../../internal/platform-error.ts'
import type { ParsedPolicy } from './compiled.ts'
import { readEcrDocument } from './ecr-document.ts'
import { parseEcrPolicy } from './ecr-grammar.ts'
import { isRecord, readJson } from './json-text.ts'
import { ecrMisreadings } from './lint-ecr.ts'
import { retentionMisreadings } from './lint-retention.ts'
import type { MisreadingCode } from './misreading.ts'
import { readRetentionDocument } from './retention-document.ts'
import { parseRetentionPolicy } from './retention-grammar.ts'
import { ruleWords } from './rule-words.ts'
import { unsaidCause, withoutByteOrderMark } from './unsaid-cause.ts'

export type PolicyGrammar = 'ecr' | 'retention'

export interface Finding {
  readonly severity: 'error' | 'warning'
  readonly code: 'refused' | 'rewritten' | MisreadingCode
  /** As people call the rule; undefined where it is about the whole policy. */
  readonly rule: string | undefined
  readonly text: string
}

export interface LintReport {
  readonly grammar: PolicyGrammar
  /** What each rule does, in the order in which they decide. Empty where the policy is refused. */
  readonly rules: readonly { readonly name: string; readonly text: string }[]
  readonly findings: readonly Finding[]
}

/**
 * Says in plain words what a policy does, and what it may be taken for and does not do.
 *
 * @param options.grammar otherwise it is told from the policy
 * @param options.strict take only what ECR takes
 */
export function lintPolicy(text: string, { grammar = grammarOf(text), strict = false }: { grammar?: PolicyGrammar | undefined; strict?: boolean } = {}): LintReport {
  let parsed: ParsedPolicy
  try {
    parsed = grammar === 'ecr' ? parseEcrPolicy(text, { strict }) : parseRetentionPolicy(text)
  } catch (error) {
    if (!isPlatformError(error, 'policy-invalid')) throw error
    const cause = unsaidCause(text, error.detail['reason'])
    const said = cause === undefined ? error.message : `${error.message} ${cause}`
    return { grammar, rules: [], findings: [{ severity: 'error', code: 'refused', rule: undefined, text: said }] }
  }
  const rules = parsed.policy.rules.map((rule) => ({ name: rule.name, text: `${ruleWords(rule)}.` }))
  const document: unknown = JSON.parse(parsed.text)
  const misreadings = grammar === 'ecr' ? ecrMisreadings(readEcrDocument(document)) : retentionMisreadings(readRetentionDocument(document))
  const notes = parsed.notes.map((note): Finding => ({ severity: 'warning', code: 'rewritten', rule: undefined, text: note }))
  return { grammar, rules, findings: [...notes, ...misreadings.map((each): Finding => ({ severity: 'warning', ...each }))] }
}

/** Rules of retention policies have names, and nothing that ECR's have. */
function grammarOf(text: string): PolicyGrammar {
  const document = readJson(withoutByteOrderMark(text))?.value
  const rules = isRecord(document) && Array.isArray(document['rules']) ? document['rules'] : []
  return rules.some((rule) => isRecord(rule) && Object.hasOwn(rule, 'name') && typeof rule['action'] === 'string') ? 'retention' : 'ecr'
}
