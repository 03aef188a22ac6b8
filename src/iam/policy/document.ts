import { isAlphanumeric, every } from '../../values/characters.ts'
import { findStructuralProblem } from '../../values/json-structure.ts'
import { iamError } from '../errors.ts'
import { maxPolicyTextLength } from './limits.ts'

/**
 * What a policy is attached to: to a user, group or role, also as a permissions boundary (`identity`); to a repository or a
 * registry (`resource`); to a role, saying who may assume it (`trust`); to temporary credentials (`session`).
 */
export type PolicyKind = 'identity' | 'resource' | 'trust' | 'session'

export type PolicyLanguage = '2008-10-17' | '2012-10-17'

/** A policy's text, checked and with its lists made lists. */
export interface PolicyDocument {
  readonly language: PolicyLanguage
  readonly id: string | undefined
  readonly statements: readonly StatementDocument[]
}

export interface StatementDocument {
  readonly sid: string | undefined
  readonly effect: 'Allow' | 'Deny'
  readonly principal: Listed<PrincipalDocument> | undefined
  readonly action: Listed<readonly string[]>
  readonly resource: Listed<readonly string[]> | undefined
  readonly conditions: readonly ConditionDocument[]
}

/** An element, or its opposite (`NotAction`). */
export interface Listed<Values> {
  readonly isNot: boolean
  readonly values: Values
}

export type PrincipalDocument = readonly { readonly type: PrincipalType; readonly value: string }[]

export interface ConditionDocument {
  readonly operator: string
  readonly key: string
  readonly values: readonly string[]
}

export const principalTypes = ['AWS', 'Federated', 'Service', 'CanonicalUser'] as const

export type PrincipalType = (typeof principalTypes)[number]

type JsonObject = Readonly<Record<string, unknown>>

const documentElements = ['Version', 'Id', 'Statement']

const statementElements = [
  'Sid',
  'Effect',
  'Principal',
  'NotPrincipal',
  'Action',
  'NotAction',
  'Resource',
  'NotResource',
  'Condition',
]

/** Why a policy is refused. The message is IAM's; it seldom says where, so `reason` does. */
export function malformed(message: string, reason: string): Error {
  return iamError('policy-malformed', message, { reason })
}

const syntaxErrors = 'Syntax errors in policy.'

/**
 * Reads a policy's text in the grammar of IAM's policy language ("Grammar of the IAM JSON policy language"). Names and values
 * of actions, resources, principals and conditions are not looked at.
 *
 * @throws `policy-malformed`
 */
export function readPolicyDocument(text: string, kind: PolicyKind): PolicyDocument {
  const root = readJson(text, kind)
  requireElements(root, documentElements, 'The policy')
  const language = readLanguage(root['Version'])
  const id = optionalText(root['Id'], 'Id')
  const statement = root['Statement']
  const list: readonly unknown[] = Array.isArray(statement) ? statement : [statement]
  if (list.length === 0) throw malformed(syntaxErrors, 'Statement is empty.')
  const statements = list.map((each, index) => readStatement(each, `Statement ${index + 1}`, kind))
  requireUniqueSids(statements, kind)
  return { language, id, statements }
}

function readJson(text: string, kind: PolicyKind): JsonObject {
  const invalid = kind === 'trust' ? 'This policy contains invalid Json' : syntaxErrors
  if (text.length > maxPolicyTextLength) throw malformed(invalid, `A policy has at most ${maxPolicyTextLength} characters.`)
  const problem = findStructuralProblem(text)
  if (problem !== undefined) throw malformed(invalid, problem)
  let root: unknown
  try {
    root = JSON.parse(text)
  } catch {
    throw malformed(invalid, 'It is not valid JSON.')
  }
  if (!isObject(root)) throw malformed(syntaxErrors, 'A policy is a JSON object.')
  return root
}

/** A policy without a version is in the language of 2008. */
function readLanguage(version: unknown): PolicyLanguage {
  if (version === undefined || version === '2008-10-17') return '2008-10-17'
  if (version === '2012-10-17') return version
  throw malformed(syntaxErrors, 'Version is neither 2012-10-17 nor 2008-10-17.')
}

function readStatement(statement: unknown, where: string, kind: PolicyKind): StatementDocument {
  if (!isObject(statement)) throw malformed(syntaxErrors, `${where} is not an object.`)
  requireElements(statement, statementElements, where)
  const effect = statement['Effect']
  if (effect !== 'Allow' && effect !== 'Deny') throw malformed(syntaxErrors, `The Effect of ${where} is neither Allow nor Deny.`)
  const sid = optionalText(statement['Sid'], `The Sid of ${where}`)
  if (sid !== undefined && kind !== 'resource' && !every(sid, isAlphanumeric)) {
    const message = 'Statement IDs (SID) must be alpha-numeric. Check that your input satisfies the regular expression [0-9A-Za-z]*'
    throw malformed(message, `The Sid of ${where} has other characters.`)
  }
  return {
    sid,
    effect,
    principal: readPrincipal(statement, where, kind),
    action: readAction(statement, where),
    resource: readResource(statement, where, kind),
    conditions: readConditions(statement['Condition'], where),
  }
}

function readAction(statement: JsonObject, where: string): Listed<readonly string[]> {
  const action = readTexts(statement, 'Action', where)
  if (action === undefined || action.values.length === 0) {
    throw malformed('Policy statement must contain actions.', `${where} has no Action.`)
  }
  return action
}

/** A policy of a role or a repository is about that role or repository; the latter's may say so. */
function readResource(statement: JsonObject, where: string, kind: PolicyKind): Listed<readonly string[]> | undefined {
  const resource = readTexts(statement, 'Resource', where)
  if (kind === 'trust' && resource !== undefined) {
    throw malformed(`Has prohibited field ${resource.isNot ? 'NotResource' : 'Resource'}`, `${where} has it.`)
  }
  const isRequired = kind === 'identity' || kind === 'session'
  if (resource === undefined ? isRequired : resource.values.length === 0) {
    throw malformed('Policy statement must contain resources.', `${where} has no Resource.`)
  }
  return resource
}

function readTexts(statement: JsonObject, name: 'Action' | 'Resource', where: string): Listed<readonly string[]> | undefined {
  const [is, isNot] = [statement[name], statement[`Not${name}`]]
  if (is !== undefined && isNot !== undefined) throw malformed(syntaxErrors, `${where} has ${name} and Not${name}.`)
  const value = is ?? isNot
  if (value === undefined) return undefined
  return { isNot: is === undefined, values: textList(value, `The ${name} of ${where}`) }
}

function readPrincipal(statement: JsonObject, where: string, kind: PolicyKind): Listed<PrincipalDocument> | undefined {
  const [is, isNot] = [statement['Principal'], statement['NotPrincipal']]
  if (is !== undefined && isNot !== undefined) throw malformed(syntaxErrors, `${where} has Principal and NotPrincipal.`)
  const value = is ?? isNot
  if (kind === 'identity' || kind === 'session') {
    if (value !== undefined) throw malformed('Policy document should not specify a principal.', `${where} has a Principal.`)
    return undefined
  }
  if (value === undefined) throw malformed('Missing required field Principal', `${where} has no Principal.`)
  return { isNot: is === undefined, values: principalList(value, where, kind) }
}

function principalList(value: unknown, where: string, kind: PolicyKind): PrincipalDocument {
  if (value === '*') {
    if (kind === 'trust') {
      throw malformed('AssumeRolepolicy contained an invalid principal: "STAR":"*".', `${where} has to say {"AWS": "*"}.`)
    }
    return [{ type: 'AWS', value }]
  }
  if (!isObject(value)) throw malformed(syntaxErrors, `The Principal of ${where} is neither "*" nor an object.`)
  requireElements(value, principalTypes, `The Principal of ${where}`)
  const entries = principalTypes.flatMap((type) =>
    value[type] === undefined
      ? []
      : textList(value[type], `The Principal of ${where}`).map((each) => ({ type, value: each })),
  )
  if (entries.length === 0) throw malformed(syntaxErrors, `The Principal of ${where} names nobody.`)
  return entries
}

function readConditions(condition: unknown, where: string): readonly ConditionDocument[] {
  if (condition === undefined) return []
  if (!isObject(condition)) throw malformed(syntaxErrors, `The Condition of ${where} is not an object.`)
  return Object.entries(condition).flatMap(([operator, keys]) => {
    if (!isObject(keys)) throw malformed(syntaxErrors, `${operator} in the Condition of ${where} is not an object.`)
    const lines = Object.entries(keys).map(([key, values]) => ({ operator, key, values: conditionValues(values, where) }))
    // An operator without keys asks for nothing, but has to be one.
    return lines.length === 0 ? [{ operator, key: '', values: [] }] : lines
  })
}

function conditionValues(value: unknown, where: string): readonly string[] {
  const list: readonly unknown[] = Array.isArray(value) ? value : [value]
  if (list.length === 0) throw malformed(syntaxErrors, `A condition of ${where} has no value.`)
  return list.map((each) => {
    if (typeof each === 'string') return each
    if (typeof each === 'boolean' || typeof each === 'number') return String(each)
    throw malformed(syntaxErrors, `A value in the Condition of ${where} is no text, number or boolean.`)
  })
}

function requireUniqueSids(statements: readonly StatementDocument[], kind: PolicyKind): void {
  if (kind === 'resource') return
  const sids = statements.flatMap(({ sid }) => (sid === undefined || sid === '' ? [] : [sid]))
  if (new Set(sids).size < sids.length) {
    throw malformed('Statement IDs (SID) in a single policy must be unique.', 'Two statements have the same Sid.')
  }
}

function requireElements(object: JsonObject, known: readonly string[], where: string): void {
  for (const name of Object.keys(object)) {
    if (!known.includes(name)) throw malformed(syntaxErrors, `${where} has an unknown element ${JSON.stringify(name.slice(0, 64))}.`)
  }
}

function textList(value: unknown, where: string): readonly string[] {
  const list: readonly unknown[] = Array.isArray(value) ? value : [value]
  return list.map((each) => {
    if (typeof each !== 'string') throw malformed(syntaxErrors, `${where} is no text or list of texts.`)
    return each
  })
}

function optionalText(value: unknown, where: string): string | undefined {
  if (value === undefined || typeof value === 'string') return value
  throw malformed(syntaxErrors, `${where} is no text.`)
}

function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
