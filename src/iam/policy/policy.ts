import { readPolicyDocument, type PolicyKind, type StatementDocument } from './document.ts'
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
/** Of all those resources together, for the same reason. */
const maxRememberedPairs = 1000

/** Told by how many bytes what is kept for a policy grows, or shrinks. */
export type GrowthListener = (bytes: number) => void

/*
 * What things take, in bytes, measured on V8 in Node 24 and rounded up: `policy-size.test.ts` holds them against the heap.
 * Of what is compared with wildcards each one counts; each pattern of an ARN is six.
 */
const bytesOf = {
  policy: 1_000,
  statement: 800,
  value: 850,
  arnValue: 6_000,
  wildcard: 160,
  character: 12,
  rememberedResource: 300,
  rememberedAction: 200,
  rememberedStatement: 16,
} as const

const noStatements: ActionStatements = { deny: [], allow: [] }

/** A policy, compiled. It does not change; which statements an action meets is remembered when it is first asked for. */
export class Policy {
  readonly kind: PolicyKind
  readonly statements: readonly Statement[]
  readonly #onGrowth: GrowthListener
  #rememberedPairs = 0
  #rememberedBytes = 0
  readonly #byAction = new Map<string, ActionStatements>()
  readonly #byResource = new Map<string, Map<string, ActionStatements>>()

  constructor(kind: PolicyKind, statements: readonly Statement[], onGrowth: GrowthListener) {
    this.kind = kind
    this.statements = statements
    this.#onGrowth = onGrowth
  }

  /** Statements that cover an action, given in any case. */
  about(action: string): ActionStatements {
    return this.#byAction.get(action) ?? this.#find(action)
  }

  /** Those of them that a request for the resource can meet: comparing its name with patterns is most of a decision. */
  concerning(action: string, resource: string): ActionStatements {
    const known = this.#byResource.get(resource)?.get(action)
    if (known !== undefined) return known
    const { deny, allow } = this.about(action)
    const mayCover = (statement: Statement): boolean => statement.mayCover(resource)
    const found = { deny: deny.filter(mayCover), allow: allow.filter(mayCover) }
    this.#remember(resource, action, found)
    return found
  }

  #remember(resource: string, action: string, found: ActionStatements): void {
    let byAction = this.#byResource.get(resource)
    const isFull = this.#rememberedPairs >= maxRememberedPairs || (byAction === undefined && this.#byResource.size >= maxRememberedResources)
    if (isFull) {
      this.#byResource.clear()
      this.#onGrowth(-this.#rememberedBytes)
      this.#rememberedPairs = 0
      this.#rememberedBytes = 0
      byAction = undefined
    }
    let bytes = sizeOf(action, found)
    if (byAction === undefined) {
      byAction = new Map()
      this.#byResource.set(resource, byAction)
      bytes += bytesOf.rememberedResource + 2 * resource.length
    }
    byAction.set(action, found)
    this.#rememberedPairs += 1
    this.#rememberedBytes += bytes
    this.#onGrowth(bytes)
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
    if (this.#byAction.size < maxRememberedActions) {
      this.#byAction.set(action, found)
      this.#onGrowth(sizeOf(action, found))
    }
    return found
  }
}

function sizeOf(action: string, { deny, allow }: ActionStatements): number {
  return bytesOf.rememberedAction + 2 * action.length + bytesOf.rememberedStatement * (deny.length + allow.length)
}

/**
 * Compiles a policy's text in IAM's policy language of 2012-10-17 or 2008-10-17.
 *
 * @param onGrowth told of what the policy takes, when it is compiled and as it remembers more: rather too much than too little
 * @throws `policy-malformed` with IAM's message of MalformedPolicyDocument; `detail.reason` says more than IAM does
 */
export function parsePolicy(text: string, kind: PolicyKind, onGrowth: GrowthListener = () => undefined): Policy {
  const { language, statements } = readPolicyDocument(text, kind)
  const policy = new Policy(kind, statements.map((statement) => new Statement(statement, kind, language)), onGrowth)
  onGrowth(compiledSize(text, statements))
  return policy
}

function compiledSize(text: string, statements: readonly StatementDocument[]): number {
  let bytes = bytesOf.policy + bytesOf.character * text.length
  for (const { principal, action, resource, conditions } of statements) {
    const values = (principal?.values.length ?? 0) + action.values.length + (resource?.values.length ?? 0)
    bytes += bytesOf.statement + bytesOf.value * values
    for (const { operator, values: compared } of conditions) {
      bytes += bytesOf.value + (operator.includes('Arn') ? bytesOf.arnValue : bytesOf.value) * compared.length
    }
  }
  for (let at = 0; at < text.length; at++) {
    const character = text[at]
    if (character === '*' || character === '?') bytes += bytesOf.wildcard
  }
  return bytes
}
