import { every, isAlphanumeric } from '../../values/characters.ts'
import { isNamedByOthers } from './condition-keys.ts'
import { compileCondition, type Condition } from './conditions.ts'
import type { ContextReader } from './context.ts'
import { malformed, type Listed, type PolicyKind, type PolicyLanguage, type PrincipalDocument, type StatementDocument } from './document.ts'
import { hasWildcard, Pattern, patternTokens } from './pattern.ts'
import {
  awsPrincipalEntry,
  isWhollyListed,
  namedBy,
  namedByEntries,
  type NamedBy,
  type PolicyPrincipal,
  type PrincipalEntry,
} from './principals.ts'
import { isVariable, Template } from './template.ts'

/** What of a request statements look at. */
export interface StatementScope {
  readonly principal: PolicyPrincipal
  readonly resource: string
  readonly context: ContextReader
  /** Whether the principal has a permissions boundary. */
  readonly isBounded: boolean
}

/** Of the values of ambiguous keys, in what denies. Nobody gives tags so many spellings by mistake: beyond, it denies. */
const mostChoices = 64

/** A statement of a policy, compiled. */
export class Statement {
  readonly effect: 'Allow' | 'Deny'
  readonly #principals: Listed<readonly PrincipalEntry[]> | undefined
  readonly #actions: Listed<readonly Pattern[]>
  readonly resources: Listed<readonly Template[]> | undefined
  readonly #conditions: readonly Condition[]
  /** Of what allows, variables without a value to fall back on: where one has none in the request, nothing is allowed. */
  readonly #requiredKeys: readonly string[]
  /** Those of its keys that can be ambiguous. */
  readonly #namedKeys: readonly string[]
  /** False if it allows something under a condition that no request can truly meet. */
  readonly canApply: boolean

  /** @throws `policy-malformed` */
  constructor(document: StatementDocument, kind: PolicyKind, language: PolicyLanguage) {
    const variables = language === '2012-10-17'
    this.effect = document.effect
    this.#principals = document.principal && {
      isNot: document.principal.isNot,
      values: principalEntries(document.principal.values, kind),
    }
    this.#actions = { isNot: document.action.isNot, values: document.action.values.map((text) => actionPattern(text, kind)) }
    this.resources = document.resource && {
      isNot: document.resource.isNot,
      values: document.resource.values.map((text) => resourceTemplate(text, variables)),
    }
    this.#conditions = document.conditions.flatMap((condition) => conditionOf(condition, variables))
    const templates = [...(this.resources?.values ?? []), ...this.#conditions.flatMap((condition) => condition.templates)]
    const used = templates.flatMap((template) => template.variables())
    const required = used.flatMap(({ key, fallback }) => (fallback === undefined ? [key] : []))
    // What denies must not be switched off by a caller that lacks a tag: there, a variable without a value equals nothing.
    this.#requiredKeys = this.effect === 'Allow' ? [...new Set(required)] : []
    const keys = [...this.#conditions.map(({ key }) => key), ...used.map(({ key }) => key)]
    this.#namedKeys = [...new Set(keys)].filter(isNamedByOthers)
    this.canApply = this.effect === 'Deny' || this.#conditions.every(({ isKeySupplied }) => isKeySupplied)
  }

  /** `action` is in lower case. */
  coversAction(action: string): boolean {
    return this.#actions.values.some((pattern) => pattern.matches(action)) !== this.#actions.isNot
  }

  /** False if no request for the resource can meet it, whatever keys the request has. */
  mayCover(resource: string): boolean {
    if (this.resources === undefined || this.resources.values.some((template) => template.variables().length > 0)) return true
    const { isNot, values } = this.resources
    return values.some((template) => template.pattern(() => undefined)?.matches(resource) === true) !== isNot
  }

  /**
   * How directly the statement names the caller, for requests of an action that it covers: `namedBy.nothing` if it does not
   * apply. A statement without principals, of an identity's policy, names whom it is attached to.
   */
  appliesTo(scope: StatementScope): NamedBy {
    if (!this.canApply) return namedBy.nothing
    const named = this.#namesCaller(scope)
    if (named === namedBy.nothing) return named
    const { resource, context } = scope
    const isMet = this.#isMet(resource, context)
    if (this.#namedKeys.length === 0 || isMet === (this.effect === 'Deny')) return isMet ? named : namedBy.nothing
    const ambiguous = this.#namedKeys.filter((key) => context.isAmbiguous(key))
    if (ambiguous.length === 0) return isMet ? named : namedBy.nothing
    if (this.effect === 'Allow') return namedBy.nothing
    const choices = context.withEachChoice(ambiguous, mostChoices)
    return choices === undefined || choices.some((choice) => this.#isMet(resource, choice)) ? named : namedBy.nothing
  }

  #isMet(resource: string, context: ContextReader): boolean {
    for (const key of this.#requiredKeys) {
      if (context.single(key) === undefined) return false
    }
    if (this.resources !== undefined && !coversResource(this.resources, resource, context)) return false
    for (const condition of this.#conditions) {
      if (!condition.matches(context)) return false
    }
    return true
  }

  #namesCaller({ principal, isBounded }: StatementScope): NamedBy {
    if (this.#principals === undefined) return namedBy.itself
    const { isNot, values } = this.#principals
    const named = namedByEntries(values, principal)
    if (!isNot) {
      // Who nobody's rule names is denied nothing, but a denial for everybody is one for web identities as well.
      const isForEverybody = this.effect === 'Deny' && values.some(({ kind }) => kind === 'everybody')
      return isForEverybody ? namedBy.itself : named
    }
    if (this.effect === 'Allow') return named === namedBy.nothing && principal.kind !== 'federated' ? namedBy.itself : namedBy.nothing
    // AWS: a Deny with NotPrincipal always denies who has a permissions boundary, whomever it lists.
    return isBounded || !isWhollyListed(values, principal) ? namedBy.itself : namedBy.nothing
  }
}

function coversResource({ isNot, values }: Listed<readonly Template[]>, resource: string, context: ContextReader): boolean {
  for (const template of values) {
    if (template.pattern(context.single)?.matches(resource) === true) return !isNot
  }
  return isNot
}

function conditionOf(
  { operator, key, values }: StatementDocument['conditions'][number],
  variables: boolean,
): readonly Condition[] {
  const isComplete = key.includes(':') && !key.startsWith(':') && !key.endsWith(':')
  if (!isComplete && values.length > 0) {
    const message = 'Actions/Conditions must be prefaced by a vendor, e.g., iam, sdb, ec2, etc.'
    throw malformed(message, `The condition key ${JSON.stringify(key.slice(0, 64))} has no vendor.`)
  }
  try {
    const condition = compileCondition(operator, key, values, variables)
    return values.length === 0 ? [] : [condition]
  } catch (error) {
    throw asMalformed(error)
  }
}

function principalEntries(document: PrincipalDocument, kind: PolicyKind): readonly PrincipalEntry[] {
  return document.map(({ type, value }) => {
    const entry = principalEntry(type, value)
    if (entry !== undefined) return entry
    const message = `Invalid principal in policy: "${type}":"${value.slice(0, 256)}"`
    throw malformed(message, `A ${kind} policy cannot name this principal.`)
  })
}

function principalEntry(type: PrincipalDocument[number]['type'], value: string): PrincipalEntry | undefined {
  if (type === 'AWS') return awsPrincipalEntry(value)
  if (value === '' || hasWildcard(value)) return undefined
  return type === 'Federated' ? { kind: 'federated', provider: value } : { kind: 'foreign' }
}

function actionPattern(text: string, kind: PolicyKind): Pattern {
  const [vendor, name, ...rest] = text.split(':')
  if (vendor === undefined || (name === undefined && vendor !== '*')) {
    const message = 'Actions/Conditions must be prefaced by a vendor, e.g., iam, sdb, ec2, etc.'
    throw malformed(message, `The action ${JSON.stringify(text.slice(0, 64))} has no vendor.`)
  }
  if (rest.length > 0) {
    throw malformed('Actions/Condition can contain only one colon.', `The action ${JSON.stringify(text.slice(0, 64))} has more.`)
  }
  if (vendor === '' || (vendor !== '*' && !every(vendor, isVendorCharacter))) {
    throw malformed(`Vendor ${vendor.slice(0, 64)} is not valid`, 'A vendor is letters, digits, "-" and ".", without wildcards.')
  }
  if (kind === 'trust' && vendor.toLowerCase() !== 'sts') {
    throw malformed('AssumeRole policy may only specify STS AssumeRole actions.', `It has ${JSON.stringify(text.slice(0, 64))}.`)
  }
  return new Pattern(patternTokens(text.toLowerCase()))
}

function isVendorCharacter(unit: number): boolean {
  return isAlphanumeric(unit) || unit === 0x2d || unit === 0x2e
}

const arnPartCount = 6

const iamResourceStarts = [
  'user/',
  'federated-user/',
  'role/',
  'group/',
  'instance-profile/',
  'mfa/',
  'server-certificate/',
  'policy/',
  'sms-mfa/',
  'saml-provider/',
  'oidc-provider/',
  'report/',
  'access-report/',
]

/** An ARN with fewer parts than six stands for all ARNs that begin so ("IAM JSON policy elements: Resource"). */
function resourceTemplate(text: string, variables: boolean): Template {
  let template: Template
  try {
    template = new Template(text, { variables, wildcards: true })
  } catch (error) {
    throw asMalformed(error)
  }
  if (text === '*') return template
  const parts = outline(template).split(':')
  requireResourceParts(text, parts)
  const missing = arnPartCount - parts.length
  return missing > 0 ? new Template(text + ':*'.repeat(missing), { variables, wildcards: true }) : template
}

/** The text with a letter where a variable stands: a variable's own colon separates nothing. */
function outline(template: Template): string {
  return template.pieces
    .map((piece) => (isVariable(piece) ? 'x' : typeof piece === 'string' ? piece : (piece.description ?? '')))
    .join('')
}

function requireResourceParts(text: string, parts: readonly string[]): void {
  const shown = text.slice(0, 256)
  const [prefix, partition, service, region, , ...rest] = parts
  if (prefix !== 'arn' || partition === undefined) {
    throw malformed(`Resource ${shown} must be in ARN format or "*".`, 'A resource is an ARN or "*".')
  }
  if (partition !== 'aws' && !/^aws-[a-z0-9-]+$/.test(partition)) {
    const filled = parts.concat(new Array<string>(Math.max(0, arnPartCount - parts.length)).fill('*')).join(':').slice(0, 256)
    throw malformed(`Partition "${partition.slice(0, 64)}" is not valid for resource "${filled}".`, 'The partition is aws.')
  }
  if (service === undefined || service === '' || !every(service, isVendorCharacter)) {
    const message = 'Resource vendor must be fully qualified and cannot contain regexes.'
    throw malformed(message, `The resource ${JSON.stringify(shown)} names no service.`)
  }
  if (service !== 'iam') return
  if (region !== undefined && region !== '' && region !== '*') {
    throw malformed(`IAM resource ${shown} cannot contain region information.`, 'IAM has no regions.')
  }
  const path = rest.join(':')
  if (path !== '' && path !== '*' && !iamResourceStarts.some((start) => path.startsWith(start))) {
    const message = `IAM resource path must either be "*" or start with ${iamResourceStarts.join(', ')}.`
    throw malformed(message, `The resource is ${JSON.stringify(shown)}.`)
  }
}

function asMalformed(error: unknown): unknown {
  return error instanceof SyntaxError ? malformed('Syntax errors in policy.', error.message) : error
}
