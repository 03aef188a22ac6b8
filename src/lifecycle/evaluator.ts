import type { Session } from '../storage/metadata/session.ts'
import { concernAbout, type RunCaution } from './concern.ts'
import { comparePolicies, countSurprises, type PolicyComparison } from './compare-policies.ts'
import { evaluateRepository, type EvaluationConditions, type EvaluationParts } from './evaluate-repository.ts'
import { readStored } from './policies.ts'
import { Decisions, type CompiledPolicy } from './policy/index.ts'
import { withRowsOfInterest } from './rows-of-interest.ts'
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
  /** Of what somebody has to confirm by this, images are only counted: they are not among the decisions. */
  readonly caution?: RunCaution | undefined
}

export interface EvaluatedRepository {
  readonly decisions: Decisions
  /** Of images that anything is to be done about, in the order of their numbers, which is that of the decisions: what is looked at again before they go. */
  readonly ids: Float64Array
  readonly fingerprints: Uint32Array
  /** The highest number of an image that was looked at; 0 without any. */
  readonly newestId: number
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
   * Evaluates, and gives what the first of the policies would do to `onPages`, some pages at a time, one after the other. The bytes of pages
   * are the caller's until its promise settles: then others are written in their place.
   */
  preview(request: EvaluationRequest, onPages: (pages: readonly PreviewPage[]) => Promise<void>, signal?: AbortSignal): Promise<PreviewSummary>
  compare(request: ComparisonRequest, signal?: AbortSignal): Promise<PolicyComparison>
}

export async function evaluateParts(session: Session, request: EvaluationRequest, conditions: EvaluationConditions = {}): Promise<EvaluationParts> {
  const { repositoryId, nowMs, watch, before, caution } = request
  const evaluate = (policies: readonly PolicyText[]): Promise<EvaluationParts> =>
    evaluateRepository(session, { repositoryId, policies: compiled({ policies }), nowMs, watch: new Set(watch), withFingerprints: true, conditions })
  const parts = await evaluate(request.policies)
  const { decisions } = assemble(request, parts)
  const surprising = before && countSurprises(assemble({ ...request, policies: before }, await evaluate(before)).decisions, decisions)
  const isOnlyCounted = caution !== undefined && concernAbout(decisions, surprising, caution) !== undefined
  return withRowsOfInterest({ ...parts, surprising }, { isOnlyCounted })
}

export async function previewOn(
  session: Session,
  request: EvaluationRequest,
  onPages: (pages: readonly PreviewPage[]) => Promise<void>,
  conditions: EvaluationConditions = {},
): Promise<PreviewSummary> {
  return readPreview(session, await decisionsOf(session, request, request.policies, conditions), onPages, conditions)
}

export async function compareOn(session: Session, { before, after, limit, ...repository }: ComparisonRequest, conditions: EvaluationConditions = {}): Promise<PolicyComparison> {
  const decided = (policies: readonly PolicyText[]): Promise<Decisions> => decisionsOf(session, repository, policies, conditions)
  return comparePolicies(session, { repositoryId: repository.repositoryId, before: await decided(before), after: await decided(after), limit }, conditions)
}

/** To be looked at where they were made, and not to be acted on. */
async function decisionsOf(
  session: Session,
  { repositoryId, nowMs }: Pick<EvaluationRequest, 'repositoryId' | 'nowMs'>,
  policies: readonly PolicyText[],
  conditions: EvaluationConditions,
): Promise<Decisions> {
  const read = compiled({ policies })
  const { decided } = await evaluateRepository(session, { repositoryId, policies: read, nowMs, withFingerprints: false, conditions })
  return new Decisions(read, nowMs, decided)
}

/** Policies are functions, which no thread can send: they are read again. */
export function assemble(request: EvaluationRequest, { decided, ...parts }: EvaluationParts): EvaluatedRepository {
  return { decisions: new Decisions(compiled(request), request.nowMs, decided), ids: decided.columns.ids, ...parts }
}

function compiled({ policies }: Pick<EvaluationRequest, 'policies'>): CompiledPolicy[] {
  return policies.map(({ grammar, document }) => readStored(grammar, document))
}
