import type { Session } from '../storage/metadata/session.ts'
import { comparePolicies, countSurprises, type PolicyComparison } from './compare-policies.ts'
import { evaluateRepository, type EvaluationConditions, type EvaluationParts } from './evaluate-repository.ts'
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
  /** Whose repository it is: accounts take turns. */
  readonly account: string
  readonly policies: readonly PolicyText[]
  /** Policies that these stand in the place of, to be told how many images only the new ones would delete. */
  readonly before?: readonly PolicyText[] | undefined
  readonly nowMs: number
  /** Images of which `why` will be asked. */
  readonly watch?: readonly number[]
}

export interface EvaluatedRepository {
  readonly decisions: Decisions
  /** Of each image in the order of their numbers, which is the order of the decisions: what is looked at again before it goes. */
  readonly ids: Float64Array
  readonly fingerprints: Uint32Array
  /** Images that only the policies would delete, and not those before; undefined where there were none. */
  readonly surprising: number | undefined
}

/** Two sets of policies for one repository. */
export interface ComparisonRequest extends Pick<EvaluationRequest, 'repositoryId' | 'account' | 'nowMs'> {
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

export async function evaluateParts(session: Session, request: EvaluationRequest, conditions: EvaluationConditions = {}): Promise<EvaluationParts> {
  const { repositoryId, nowMs, watch, before } = request
  const evaluate = (policies: readonly PolicyText[]): Promise<EvaluationParts> =>
    evaluateRepository(session, { repositoryId, policies: compiled({ policies }), nowMs, watch: new Set(watch), conditions })
  const parts = await evaluate(request.policies)
  if (before === undefined) return parts
  const decisionsBefore = assemble({ ...request, policies: before }, await evaluate(before)).decisions
  return { ...parts, surprising: countSurprises(decisionsBefore, assemble(request, parts).decisions) }
}

export async function previewOn(
  session: Session,
  request: EvaluationRequest,
  onPage: (page: PreviewPage) => Promise<void>,
  conditions: EvaluationConditions = {},
): Promise<PreviewSummary> {
  return readPreview(session, assemble(request, await evaluateParts(session, request, conditions)).decisions, onPage, conditions)
}

export async function compareOn(session: Session, { before, after, limit, ...repository }: ComparisonRequest, conditions: EvaluationConditions = {}): Promise<PolicyComparison> {
  const decided = async (policies: readonly PolicyText[]): Promise<Decisions> => {
    const request = { ...repository, policies }
    return assemble(request, await evaluateParts(session, request, conditions)).decisions
  }
  return comparePolicies(session, { repositoryId: repository.repositoryId, before: await decided(before), after: await decided(after), limit }, conditions)
}

/** Policies are functions, which no thread can send: they are read again. */
export function assemble(request: EvaluationRequest, { decided, fingerprints, surprising }: EvaluationParts): EvaluatedRepository {
  return { decisions: Decisions.of(compiled(request), request.nowMs, decided), ids: decided.columns.ids, fingerprints, surprising }
}

function compiled({ policies }: Pick<EvaluationRequest, 'policies'>): CompiledPolicy[] {
  return policies.map(({ grammar, document }) => readStored(grammar, document))
}
