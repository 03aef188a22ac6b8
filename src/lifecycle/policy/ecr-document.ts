import { ecrRefusal } from './ecr-refusal.ts'

/** ECR's quota "Rules per lifecycle policy". */
export const maxEcrRules = 50

/** What Java's int holds, as ECR's numbers do; in days far beyond any image's age. */
const maxNumber = 2_147_483_647

/** Amazon ECR user guide, "Examples of lifecycle policies": a pattern has at most four. */
const maxWildcards = 4

const tagStatuses = ['any', 'tagged', 'untagged'] as const
const storageClasses = ['archive', 'standard'] as const
const countTypes = ['imageCountMoreThan', 'sinceImagePulled', 'sinceImagePushed', 'sinceImageTransitioned'] as const
const actionTypes = ['expire', 'transition'] as const

export interface EcrSelection {
  readonly tagStatus: (typeof tagStatuses)[number]
  readonly tagPatternList: readonly string[]
  readonly tagPrefixList: readonly string[]
  readonly storageClass: (typeof storageClasses)[number]
  readonly countType: (typeof countTypes)[number]
  readonly countNumber: number
}

export interface EcrRule {
  readonly rulePriority: number
  readonly description: string | undefined
  readonly selection: EcrSelection
  readonly action: (typeof actionTypes)[number]
}

/**
 * Checks a parsed JSON value against the schema of ECR's lifecycle policies: what a rule may hold by itself. Amazon ECR user
 * guide, "Lifecycle policy properties". What no combination of count, storage class and action allows is one failure there.
 *
 * @throws `policy-invalid` for the first failure, what is missing before what is too much
 */
export function readEcrDocument(document: unknown): readonly EcrRule[] {
  const { rules } = readObject(document, ['rules'], [])
  const list = readArray(rules)
  if (list.length < 1) throw ecrRefusal('array is too short: must have at least 1 elements but instance has 0 elements')
  if (list.length > maxEcrRules) {
    throw ecrRefusal(`array is too long: must have at most ${maxEcrRules} elements but instance has ${list.length} elements`)
  }
  return list.map(readRule)
}

function readRule(value: unknown): EcrRule {
  const rule = readObject(value, ['rulePriority', 'selection', 'action'], ['description'])
  const action = readObject(rule['action'], ['type'], ['targetStorageClass'])
  const type = readEnum(action['type'], actionTypes)
  const selection = readSelection(rule['selection'])
  const isArchive = selection.storageClass === 'archive'
  const allowed: readonly string[] = allowedActions[selection.countType]
  const fitsTarget = type === 'transition' ? action['targetStorageClass'] === 'archive' : !Object.hasOwn(action, 'targetStorageClass')
  if (!fitsTarget || !allowed.includes(type) || isArchive !== (selection.countType === 'sinceImageTransitioned')) throw noSchemaFits()
  return {
    rulePriority: readNumber(rule['rulePriority']),
    description: Object.hasOwn(rule, 'description') ? readString(rule['description']) : undefined,
    selection,
    action: type,
  }
}

/** By what the count measures. Amazon ECR user guide, "Lifecycle policy properties", "Count type". */
const allowedActions = {
  imageCountMoreThan: ['expire', 'transition'],
  sinceImagePushed: ['expire', 'transition'],
  sinceImagePulled: ['transition'],
  sinceImageTransitioned: ['expire'],
} as const satisfies Record<EcrSelection['countType'], readonly EcrRule['action'][]>

function readSelection(value: unknown): EcrSelection {
  const optional = ['tagPatternList', 'tagPrefixList', 'storageClass', 'countUnit']
  const selection = readObject(value, ['tagStatus', 'countType', 'countNumber'], optional)
  const tagStatus = readEnum(selection['tagStatus'], tagStatuses)
  const storageClass = Object.hasOwn(selection, 'storageClass') ? readEnum(selection['storageClass'], storageClasses) : 'standard'
  const countType = countTypes.find((type) => type === selection['countType'])
  if (countType === undefined) throw noSchemaFits()
  if (countType === 'imageCountMoreThan') {
    if (Object.hasOwn(selection, 'countUnit')) throw noSchemaFits()
  } else {
    if (!Object.hasOwn(selection, 'countUnit')) throw noSchemaFits()
    readEnum(selection['countUnit'], ['days'])
  }
  const tagPatternList = Object.hasOwn(selection, 'tagPatternList') ? readStrings(selection['tagPatternList']) : []
  const tagPrefixList = Object.hasOwn(selection, 'tagPrefixList') ? readStrings(selection['tagPrefixList']) : []
  for (const pattern of tagPatternList) {
    if (pattern.split('*').length - 1 > maxWildcards) {
      throw ecrRefusal(`tagPatternList entries may have at most ${maxWildcards} wildcards (*): ${JSON.stringify(pattern)} has more.`)
    }
  }
  return { tagStatus, tagPatternList, tagPrefixList, storageClass, countType, countNumber: readNumber(selection['countNumber']) }
}

/** ECR's detail where no combination of count, storage class and action is the rule's. */
export const noSchemaFitsReason = 'instance failed to match exactly one schema (matched 0 out of 2)'

function noSchemaFits(): Error {
  return ecrRefusal(noSchemaFitsReason)
}

function readObject(value: unknown, required: readonly string[], optional: readonly string[]): Readonly<Record<string, unknown>> {
  if (typeOf(value) !== 'object') throw wrongType(value, 'object')
  const object = value as Readonly<Record<string, unknown>>
  const missing = required.filter((name) => !Object.hasOwn(object, name)).sort()
  if (missing.length > 0) throw ecrRefusal(`object has missing required properties (${JSON.stringify(missing)})`)
  const foreign = Object.keys(object)
    .filter((name) => !required.includes(name) && !optional.includes(name))
    .sort()
  if (foreign.length > 0) {
    throw ecrRefusal(`object instance has properties which are not allowed by the schema: (${JSON.stringify(foreign)})`)
  }
  return object
}

function readArray(value: unknown): readonly unknown[] {
  if (!Array.isArray(value)) throw wrongType(value, 'array')
  return value
}

function readStrings(value: unknown): readonly string[] {
  return readArray(value).map((entry) => {
    const text = readString(entry)
    if (text === '') throw ecrRefusal('string "" is too short (length: 0, required minimum: 1)')
    return text
  })
}

function readString(value: unknown): string {
  if (typeof value !== 'string') throw wrongType(value, 'string')
  return value
}

function readNumber(value: unknown): number {
  if (typeOf(value) !== 'integer') throw wrongType(value, 'integer')
  const number = value as number
  if (number < 1) throw ecrRefusal(`numeric instance is lower than the required minimum (minimum: 1, found: ${number})`)
  if (number > maxNumber) {
    throw ecrRefusal(`numeric instance is greater than the required maximum (maximum: ${maxNumber}, found: ${number})`)
  }
  return number
}

function readEnum<Word extends string>(value: unknown, words: readonly Word[]): Word {
  const word = words.find((each) => each === value)
  if (word !== undefined) return word
  const shown = typeof value === 'string' ? value : JSON.stringify(value)
  throw ecrRefusal(`instance value (${shown}) not found in enum :(possible values: ${JSON.stringify(words)})`)
}

function wrongType(value: unknown, allowed: string): Error {
  return ecrRefusal(`instance type (${typeOf(value)}) does not match any allowed primitive type (allowed: ["${allowed}"])`)
}

function typeOf(value: unknown): string {
  if (value === null) return 'null'
  if (Array.isArray(value)) return 'array'
  if (typeof value === 'number') return Number.isInteger(value) ? 'integer' : 'number'
  return typeof value
}
