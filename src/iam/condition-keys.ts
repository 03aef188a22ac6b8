import type { AccessRequest, AuthorizationContext } from './access-request.ts'
import { bothValues, type AmbiguousValue, type ContextValue } from './policy/index.ts'

type Value = ContextValue | AmbiguousValue

/** Values by keys in lower case: condition keys, and the keys of tags in them, are the same in any case. */
export type ConditionValues = ReadonlyMap<string, Value>

export const noValues: ConditionValues = new Map()

/** @param prefix put before each key, in lower case */
export function conditionValues(entries: Iterable<readonly [string, ContextValue]>, prefix = ''): ConditionValues {
  const values = new Map<string, Value>()
  for (const [key, value] of entries) {
    const lowerCaseKey = prefix + key.toLowerCase()
    const other = values.get(lowerCaseKey)
    values.set(lowerCaseKey, other === undefined ? value : bothValues(other, value))
  }
  return values
}

/** What `AccessRequest.conditions` answers. */
export type OwnSets = ReturnType<NonNullable<AccessRequest['conditions']>>

/** What is known of the two ends of a request beside the request itself. */
export interface ConditionFacts {
  /** The principal as `aws:PrincipalArn` names it: of a session the role, with its path. */
  readonly principalArn: string
  /** `aws:PrincipalTag/<key>`: the session's go before the identity's. */
  readonly sessionTags: ConditionValues
  readonly identityTags: ConditionValues
  /** What holds for all of a session, such as the claims of a web identity. */
  readonly session: ConditionValues
  /** `aws:ResourceTag/<key>` and `ecr:ResourceTag/<key>`. */
  readonly resourceTags: ConditionValues
}

/**
 * The condition keys of a request, computed when a policy asks for them. AWS IAM user guide, "AWS global condition
 * context keys".
 *
 * The operation's own keys may have several sets of values, or come only later: then they are left out, and `ownSets`
 * tells that a policy asked for one.
 */
export class ConditionKeys {
  readonly #request: AccessRequest
  readonly #facts: ConditionFacts
  #own: ConditionValues | undefined
  #ownSets: OwnSets | undefined

  constructor(request: AccessRequest, facts: ConditionFacts, own?: AuthorizationContext) {
    this.#request = request
    this.#facts = facts
    this.#own = own && conditionValues(Object.entries(own))
  }

  /** The sets of the operation's own keys, where a policy asked for one and it takes more than one look to answer. */
  get ownSets(): OwnSets | undefined {
    return this.#ownSets
  }

  /** A method that needs no `this`: policies take it as it is. */
  readonly valueOf = (key: string): Value | undefined => {
    const { sessionTags, identityTags, session, resourceTags } = this.#facts
    return (
      this.#global(key) ??
      sessionTags.get(key) ??
      identityTags.get(key) ??
      resourceTags.get(key) ??
      session.get(key) ??
      this.#ownValues().get(key)
    )
  }

  #global(key: string): Value | undefined {
    const { principal, origin, accountId } = this.#request
    switch (key) {
      case 'aws:principalarn':
        return this.#facts.principalArn
      case 'aws:principalaccount':
        return principal.accountId
      case 'aws:principaltype':
        return principal.kind === 'root' ? 'Account' : principal.kind === 'user' ? 'User' : 'AssumedRole'
      case 'aws:userid':
        return principal.userId
      case 'aws:username':
        return principal.kind === 'user' ? principal.arn.slice(principal.arn.lastIndexOf('/') + 1) : undefined
      case 'aws:sourceip':
        return origin.sourceIp
      case 'aws:securetransport':
        return String(origin.secure)
      case 'aws:useragent':
        return origin.userAgent
      case 'aws:currenttime':
        return timeText(origin.nowMs)
      case 'aws:epochtime':
        return String(Math.floor(origin.nowMs / 1000))
      case 'aws:requestedregion':
        return origin.region
      case 'aws:resourceaccount':
        return accountId
      case 'aws:tokenissuetime':
        return principal.session && timeText(principal.session.issuedAt)
      case 'aws:multifactorauthpresent':
        // As at AWS: temporary credentials always say it, lasting ones never.
        return principal.session && 'false'
      case 'aws:federatedprovider':
        return principal.session?.provider
      case 'aws:sourceidentity':
        return principal.session?.sourceIdentity
      case 'aws:viaawsservice':
      case 'aws:principalisawsservice':
        return 'false'
      default:
        return undefined
    }
  }

  #ownValues(): ConditionValues {
    if (this.#own !== undefined) return this.#own
    const sets = this.#request.conditions?.() ?? []
    if (sets instanceof Promise || sets.length > 1) {
      this.#ownSets = sets
      this.#own = noValues
    } else {
      this.#own = conditionValues(Object.entries(sets[0] ?? {}))
    }
    return this.#own
  }
}

/** ISO 8601, to the second, as AWS writes it. */
function timeText(timeMs: number): string {
  return `${new Date(timeMs).toISOString().slice(0, -'.000Z'.length)}Z`
}
