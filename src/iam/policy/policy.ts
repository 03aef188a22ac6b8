import { readPolicyDocument, type PolicyKind } from './document.ts'
import { Statement } from './statement.ts'

/** The statements of a policy that are about one action. */
export interface ActionStatements {
  readonly deny: readonly Statement[]
  readonly allow: readonly Statement[]
}

/** There are some hundred actions; more names than this are not remembered. */
const maxRememberedActions = 1000

/** Per policy: what one server is asked about most. Then all are forgotten, which costs a comparison each. */
const maxRememberedResources = 100

const noStatements: ActionStatements = { deny: [], allow: [] }

/** A policy, compiled. It does not change; which statements an action meets is remembered when it is first asked for. */
export class Policy {
  readonly kind: PolicyKind
  readonly statements: readonly Statement[]
  readonly #byAction = new Map<string, ActionStatements>()
  readonly #byResource = new Map<string, Map<string, ActionStatements>>()

  constructor(kind: PolicyKind, statements: readonly Statement[]) {
    this.kind = kind
    this.statements = statements
  }

  /** Statements that cover an action, given in any case. */
  about(action: string): ActionStatements {
    return this.#byAction.get(action) ?? this.#find(action)
  }

  /** Those of them that a request for the resource can meet: comparing its name with patterns is most of a decision. */
  concerning(action: string, resource: string): ActionStatements {
    let byAction = this.#byResource.get(resource)
    if (byAction === undefined) {
      if (this.#byResource.size >= maxRememberedResources) this.#byResource.clear()
      byAction = new Map()
      this.#byResource.set(resource, byAction)
    }
    const known = byAction.get(action)
    if (known !== undefined) return known
    const { deny, allow } = this.about(action)
    const mayCover = (statement: Statement): boolean => statement.mayCover(resource)
    const found = { deny: deny.filter(mayCover), allow: allow.filter(mayCover) }
    if (byAction.size < maxRememberedActions) byAction.set(action, found)
    return found
  }

  #find(action: string): ActionStatements {
    const lowerCaseAction = action.toLowerCase()
    const covering = this.statements.filter((statement) => statement.canApply && statement.coversAction(lowerCaseAction))
    const found =
      covering.length === 0
        ? noStatements
        : {
            deny: covering.filter(({ effect }) => effect === 'Deny'),
            allow: covering.filter(({ effect }) => effect === 'Allow'),
          }
    if (this.#byAction.size < maxRememberedActions) this.#byAction.set(action, found)
    return found
  }
}

/**
 * Compiles a policy's text in IAM's policy language of 2012-10-17 or 2008-10-17.
 *
 * @throws `policy-malformed` with IAM's message of MalformedPolicyDocument; `detail.reason` says more than IAM does
 */
export function parsePolicy(text: string, kind: PolicyKind): Policy {
  const { language, statements } = readPolicyDocument(text, kind)
  return new Policy(kind, statements.map((statement) => new Statement(statement, kind, language)))
}
