import { readRepository } from '../registry/change.ts'
import type { RequestContext } from '../registry/context.ts'
import type { MetadataDatabase } from '../storage/metadata/database.ts'
import type { RepositoryName } from '../values/index.ts'
import { retentionPolicyAt, type RetentionPlace } from './commands/retention-policies.ts'
import { findVetoes } from '../registry/protection/index.ts'
import { isByAfter, type ComparedImage, type PolicyComparison } from './compare-policies.ts'
import type { Evaluator } from './evaluator.ts'
import { policiesOf, readStored, type LifecyclePolicies, type PolicyInForce } from './policies.ts'
import type { RetentionPolicies } from './retention-policies.ts'

/** A policy that nobody has put: where it would be, and what it would stand in the place of. */
export interface PolicyCandidate {
  readonly grammar: PolicyInForce['grammar']
  readonly place: RetentionPlace
  /** Undefined: as if there were none. */
  readonly text: string | undefined
  /** What it is compared with; undefined: what is there now. */
  readonly against: string | undefined
  /** Images to be told of. */
  readonly limit: number
}

export interface PolicyPreview extends Omit<PolicyComparison, 'changes'> {
  readonly changes: readonly PreviewedChange[]
}

/** An image with the rule that acts, and what forbids it as long as it is so: of others than those told the counts know nothing of it. */
export interface PreviewedChange extends ComparedImage {
  readonly ruleName: string
  readonly policyFrom: string
  readonly vetoes: readonly string[]
}

type Considered = Pick<PolicyInForce, 'grammar' | 'document' | 'from'>

/**
 * What would be deleted and archived in a repository if a policy were put, beside what is as it is: by the evaluation that acts, over
 * all policies that the repository is under. Throws `repository-unknown`, `policy-invalid`, `too-many-evaluations`; with a signal
 * that aborts, its reason.
 */
export async function previewPolicy(
  deps: { readonly database: MetadataDatabase; readonly evaluator: Evaluator; readonly policies: LifecyclePolicies; readonly retention: RetentionPolicies },
  context: RequestContext,
  name: RepositoryName,
  candidate: PolicyCandidate,
  signal?: AbortSignal,
): Promise<PolicyPreview> {
  const { database, evaluator, policies, retention } = deps
  const { grammar, place, text, against, limit } = candidate
  const read = (policy: string): string => (grammar === 'ecr' ? policies : retention).parse(policy).text
  const [wanted, compared] = [text, against].map((policy) => (policy === undefined ? undefined : read(policy)))
  const repository = await readRepository(database.reader, { registryId: context.registry.id, accountId: context.registry.accountId }, name)
  const { scope, scopeKey } = retentionPolicyAt(repository.registry_id, place, repository.id)
  const inForce = await policiesOf(database.reader, repository)
  const isThere = (policy: PolicyInForce): boolean => policy.grammar === grammar && policy.scope === scope && policy.scopeKey === scopeKey
  const others: readonly Considered[] = inForce.filter((policy) => !isThere(policy))
  const beside = (document: string | undefined): readonly Considered[] =>
    document === undefined ? others : [...others, { grammar, document, from: 'the policy that is tried' }]
  const before = against === undefined ? inForce : beside(compared)
  const after = beside(wanted)
  const request = { repositoryId: repository.id, account: context.registry.accountId, nowMs: context.clock.now(), before, after, limit }
  const comparison = await evaluator.compare(request, signal)
  const told = comparison.changes.filter(({ change }) => isByAfter(change)).map(({ manifestId }) => manifestId)
  const vetoes = await findVetoes(database.reader, repository, told, context.clock.now(), { mode: 'automatic', onlyAsks: true })
  const changes = comparison.changes.map((image) => {
    const { from, grammar: of, document } = (isByAfter(image.change) ? after : before)[image.policy]!
    const ruleName = readStored(of, document).rules.find(({ number }) => number === image.rule)!.name
    return { ...image, ruleName, policyFrom: from, vetoes: (vetoes.get(image.manifestId) ?? []).map(({ message }) => message) }
  })
  return { ...comparison, changes }
}
