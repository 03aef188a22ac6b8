import { setImmediate } from 'node:timers/promises'
import type { AccountId } from '../../values/index.ts'
import type { NamedKind } from '../../storage/metadata/stores/iam-entity-store.ts'
import { entityUnknown, quotaExceeded } from '../commands/change.ts'
import { iamError } from '../errors.ts'
import {
  contextKeysOf,
  decidingStatements,
  evaluate,
  parsePolicy,
  policySize,
  statementPlaces,
  type ContextValue,
  type DecidingStatement,
  type Policy,
  type PolicyPrincipal,
  type StatementPlace,
} from '../policy/index.ts'
import { iamQuotas } from '../quotas.ts'
import type { DirectoryDependencies } from './dependencies.ts'
import { Entities } from './entities.ts'
import { Policies, type SourcedDocument } from './policies.ts'

/** What a simulation asks. Documents are texts. */
export interface SimulatedRequest {
  readonly questions: readonly { readonly action: string; readonly resource: string }[]
  /** The resource's own policy. */
  readonly resourcePolicy: SourcedDocument | undefined
  /** Whose the resources are that do not say so themselves. */
  readonly resourceOwner: AccountId
  /** Who asks, as a resource's policy sees it. */
  readonly callerArn: string | undefined
  /** Condition keys, in lower case. */
  readonly context: ReadonlyMap<string, ContextValue>
}

/** In place of a principal's own, or beside them. */
export interface SimulatedPolicies {
  readonly identity: readonly SourcedDocument[]
  readonly boundary: SourcedDocument | undefined
}

/** A statement that a decision follows from. */
export interface MatchedStatement extends StatementPlace {
  readonly source: string
  readonly isOfResource: boolean
}

export interface SimulatedDecision {
  readonly action: string
  readonly resource: string
  readonly decision: 'allowed' | 'explicitDeny' | 'implicitDeny'
  readonly matched: readonly MatchedStatement[]
  /** Undefined where nothing bounds the principal. */
  readonly allowedByBoundary: boolean | undefined
  /** Condition keys, in lower case, that a policy asked for and the context does not have. */
  readonly missingKeys: readonly string[]
}

/** Says what policies would decide: by the same evaluation that decides requests. */
export class Simulation {
  readonly #entities: Entities
  readonly #policies: Policies

  constructor(deps: DirectoryDependencies) {
    this.#entities = new Entities(deps)
    this.#policies = new Policies(deps)
  }

  /** The policies that a user, with its groups, a group, or a role has. Throws `entity-unknown`, `iam-input-invalid`. */
  async policiesOf(accountId: AccountId, arn: string): Promise<SimulatedPolicies> {
    const match = /^arn:aws:iam::(\d{12}):(user|group|role)\/(?:.*\/)?([^/]+)$/.exec(arn)
    const [, owner, kind, name = ''] = match ?? []
    if (owner !== accountId || kind === undefined) {
      throw iamError('iam-input-invalid', `Invalid Entity Arn: ${arn} does not clearly define entity type and name.`)
    }
    // Who may ask about one ARN must not learn of another with the same name: names are one whatever their path and case.
    if ((await this.#entities.arnOf(accountId, kind as 'user' | 'group' | 'role', name)) !== arn) {
      throw entityUnknown(kind as NamedKind, name)
    }
    if (kind === 'group') return { identity: await this.#policies.documentsOf(accountId, { kind: 'group', name }), boundary: undefined }
    if (kind === 'role') {
      const { boundaryArn } = await this.#entities.getRole(accountId, name)
      const identity = await this.#policies.documentsOf(accountId, { kind: 'role', name })
      return { identity, boundary: await this.#boundary(accountId, boundaryArn) }
    }
    const { boundaryArn } = await this.#entities.getUser(accountId, name)
    const documents = [await this.#policies.documentsOf(accountId, { kind: 'user', name })]
    for (const group of await this.#entities.groupsOfUser(accountId, name)) {
      documents.push(await this.#policies.documentsOf(accountId, { kind: 'group', name: group.name }))
    }
    return { identity: documents.flat(), boundary: await this.#boundary(accountId, boundaryArn) }
  }

  async #boundary(accountId: AccountId, arn: string | undefined): Promise<SourcedDocument | undefined> {
    const document = arn === undefined ? undefined : await this.#policies.documentInForce(accountId, arn)
    return arn === undefined || document === undefined ? undefined : { source: arn.slice(arn.lastIndexOf('/') + 1), document }
  }
}

/** The condition keys that these policies ask for, of identities. Throws `policy-malformed`. */
export function contextKeysIn(documents: readonly SourcedDocument[]): string[] {
  return contextKeysOf(documents.map(({ document }) => document), 'identity')
}

/** One decision for each question, in this thread, which does other work between two of them. Throws `policy-malformed`, `iam-limit-exceeded`. */
export async function simulate(accountId: AccountId, policies: SimulatedPolicies, request: SimulatedRequest): Promise<SimulatedDecision[]> {
  const documents = new Map<Policy, SourcedDocument>()
  const parsed = (sourced: SourcedDocument, parse: (document: string) => Policy): Policy => {
    const policy = parse(sourced.document)
    documents.set(policy, sourced)
    return policy
  }
  const identity = policies.identity.map((each) => parsed(each, identityPolicy))
  const boundary = policies.boundary && parsed(policies.boundary, identityPolicy)
  const resourcePolicy = request.resourcePolicy && parsed(request.resourcePolicy, (document) => parsePolicy(document, 'resource'))
  const places = new Map<Policy, readonly StatementPlace[]>()
  const matched = ({ policy, index }: DecidingStatement): MatchedStatement[] => {
    const sourced = documents.get(policy)
    if (sourced === undefined) return []
    const placesOfPolicy = places.get(policy) ?? statementPlaces(sourced.document)
    places.set(policy, placesOfPolicy)
    const place = placesOfPolicy[index]
    return place === undefined ? [] : [{ ...place, source: sourced.source, isOfResource: policy === resourcePolicy }]
  }
  const principal: PolicyPrincipal = {
    arn: request.callerArn ?? `arn:aws:iam::${accountId}:user/simulated`,
    accountId: accountOf(request.callerArn) ?? accountId,
    kind: 'user',
  }
  const decide = ({ action, resource }: SimulatedRequest['questions'][number]): SimulatedDecision => {
    const missing = new Set<string>()
    const question = {
      principal,
      action,
      resource,
      accountId: accountOf(resource) ?? request.resourceOwner,
      context: (key: string) => {
        const value = request.context.get(key)
        if (value === undefined) missing.add(key)
        return value
      },
    }
    const set = { identity, boundary, resource: resourcePolicy }
    const answer = evaluate(question, set)
    const withinBoundary = boundary && evaluate({ ...question, accountId: principal.accountId }, { identity: [boundary] })
    // Before all statements are asked, those that decide nothing included.
    const missingKeys = [...missing].sort()
    return {
      action,
      resource,
      decision: answer.allowed ? 'allowed' : answer.kind === 'explicit-deny' ? 'explicitDeny' : 'implicitDeny',
      matched: decidingStatements(question, set, answer).flatMap(matched),
      allowedByBoundary: withinBoundary?.allowed,
      missingKeys,
    }
  }
  const decisions: SimulatedDecision[] = []
  for (const question of request.questions) {
    decisions.push(decide(question))
    await setImmediate()
  }
  return decisions
}

function identityPolicy(document: string): Policy {
  // The longest that anybody can have.
  if (policySize(document) > iamQuotas.RolePolicySize) throw quotaExceeded('RolePolicySize')
  return parsePolicy(document, 'identity')
}

function accountOf(arn: string | undefined): string | undefined {
  return /^arn:[^:]*:[^:]*:[^:]*:(\d{12}):/.exec(arn ?? '')?.[1]
}
