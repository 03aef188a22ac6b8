import type { Session } from '../storage/metadata/session.ts'
import { comparePolicies, type PolicyComparison } from './compare-policies.ts'
import { evaluateRepository, type EvaluationParts } from './evaluate-repository.ts'
import { readStored } from './policies.ts'
import { Decisions, type CompiledPolicy } from './policy/index.ts'
import { readPreview, type PreviewPage, type PreviewSummary } from './preview-pages.ts'

/** A policy as it is kept: what a thread can be given. */
export interface PolicyText {
  readonly grammar: string
  readonly document: string
}

export interface EvaluationRequest {
  readonly repositoryId: number
  readonly policies: readonly PolicyText[]
  readonly nowMs: number
  /** Images of which `why` will be asked. */
  readonly watch?: readonly number[]
}

export interface EvaluatedRepository {
  readonly decisions: Decisions
  /** Of each image in the order of their numbers, which is the order of the decisions: what is looked at again before it goes. */
  readonly ids: Float64Array
  readonly fingerprints: Uint32Array
}

/** Two sets of policies for one repository. */
export interface ComparisonRequest extends Pick<EvaluationRequest, 'repositoryId' | 'nowMs'> {
  readonly before: readonly PolicyText[]
  readonly after: readonly PolicyText[]
  /** Images to be told of. */
  readonly limit: number
}

/**
 * Evaluates the policies of a repository over its images as they are: the one code path of previews, runs and explanations.
 * With a signal the promise rejects with its reason.
 */
export interface Evaluator {
  evaluate(request: EvaluationRequest, signal?: AbortSignal): Promise<EvaluatedRepository>
  /**
   * Evaluates, and gives what the first of the policies would do page by page to `onPage`, one after the other.
   */
  preview(request: EvaluationRequest, onPage: (page: PreviewPage) => Promise<void>, signal?: AbortSignal): Promise<PreviewSummary>
  compare(request: ComparisonRequest, signal?: AbortSignal): Promise<PolicyComparison>
}

export async function evaluateParts(session: Session, request: EvaluationRequest, signal?: AbortSignal): Promise<EvaluationParts> {
  const { repositoryId, nowMs, watch } = request
  const policies = compiled(request)
  return evaluateRepository(session, { repositoryId, policies, nowMs, watch: new Set(watch), signal })
}

export async function previewOn(
  session: Session,
  request: EvaluationRequest,
  onPage: (page: PreviewPage) => Promise<void>,
  signal?: AbortSignal,
): Promise<PreviewSummary> {
  return readPreview(session, assemble(request, await evaluateParts(session, request, signal)).decisions, onPage, signal)
}

export async function compareOn(session: Session, { before, after, limit, ...repository }: ComparisonRequest, signal?: AbortSignal): Promise<PolicyComparison> {
  const decided = async (policies: readonly PolicyText[]): Promise<Decisions> => {
    const request = { ...repository, policies }
    return assemble(request, await evaluateParts(session, request, signal)).decisions
  }
  return comparePolicies(session, { before: await decided(before), after: await decided(after), limit }, signal)
}

/** Policies are functions, which no thread can send: they are read again. */
export function assemble(request: EvaluationRequest, { decided, fingerprints }: EvaluationParts): EvaluatedRepository {
  return { decisions: Decisions.of(compiled(request), request.nowMs, decided), ids: decided.columns.ids, fingerprints }
}

function compiled({ policies }: EvaluationRequest): CompiledPolicy[] {
  return policies.map(({ grammar, document }) => readStored(grammar, document))
}
