import { deflateRawSync } from 'node:zlib'
import { iamError } from './errors.ts'
import { parsePolicy } from './policy/index.ts'
import type { Principal } from './principal.ts'

/** What the one who asks for a session wants it to carry beside the role's own rights. */
export interface RequestedBounds {
  /** A policy document: the session may do what it and the role's policies allow. */
  readonly policy?: string | undefined
  /** ARNs of managed policies that count as such documents too. */
  readonly policyArns: readonly string[]
  readonly tags: Readonly<Record<string, string>>
  readonly transitiveTagKeys: readonly string[]
}

/** What a session carries. */
export interface SessionBounds {
  readonly policies: readonly string[]
  readonly tags: Readonly<Record<string, string>>
  readonly transitiveTagKeys: readonly string[]
  /** How much of the room for policies and tags is used, from 1 on; undefined where there are none. */
  readonly packedPolicyPercent: number | undefined
}

/**
 * Room for the policies and tags of one session, packed. AWS does not say how much it has, nor how it packs; all that its
 * limits of plain text allow (a policy of 2,048 characters, ten ARNs, some tags) fits.
 */
const packedLimitBytes = 4096

/**
 * Tags by their keys, which differ in more than case.
 *
 * @throws `session-invalid`
 */
export function sessionTags(tags: readonly { readonly key: string; readonly value: string }[]): Readonly<Record<string, string>> {
  const seen = new Set<string>()
  for (const { key } of tags) {
    const folded = key.toLowerCase()
    if (folded.startsWith('aws:')) throw invalid("Tag keys must not begin with 'aws:'.")
    if (seen.has(folded)) throw invalid('Duplicate tag keys found. Please note that Tag keys are case insensitive.')
    seen.add(folded)
  }
  return Object.fromEntries(tags.map(({ key, value }) => [key, value]))
}

/**
 * Puts together what a session carries, but for the documents of managed policies: what was asked for, and the transitive
 * tags of the session that asks.
 *
 * @throws `policy-malformed`, `session-invalid`, `session-policy-too-large`
 */
export function sessionBounds(requested: RequestedBounds, caller: Principal | undefined): SessionBounds {
  if (requested.policy !== undefined) parsePolicy(requested.policy, 'session')
  const inherited = inheritedTags(caller)
  const keysOf = (tags: object): Set<string> => new Set(Object.keys(tags).map((key) => key.toLowerCase()))
  const taken = keysOf(inherited)
  if (Object.keys(requested.tags).some((key) => taken.has(key.toLowerCase()))) {
    throw invalid("One of the specified transitive tag keys can't be set because it conflicts with a transitive tag key from the calling session.")
  }
  const own = keysOf(requested.tags)
  if (!requested.transitiveTagKeys.every((key) => own.has(key.toLowerCase()))) {
    throw invalid('The specified transitive tag key must be included in the requested tags.')
  }
  return {
    policies: requested.policy === undefined ? [] : [requested.policy],
    tags: { ...inherited, ...requested.tags },
    transitiveTagKeys: [...Object.keys(inherited), ...new Set(requested.transitiveTagKeys)],
    packedPolicyPercent: packedPercent(requested),
  }
}

/**
 * The documents of managed policies that bound a session, as they are when it begins. Only for those who may begin it:
 * others must not learn which policies there are.
 *
 * @param managedDocument the document of a managed policy that the account has; undefined where it has none of that ARN
 * @throws `session-invalid`
 */
export async function managedBounds(
  policyArns: readonly string[],
  managedDocument: (arn: string) => Promise<string | undefined>,
): Promise<readonly string[]> {
  const documents: string[] = []
  for (const arn of new Set(policyArns)) {
    const document = await managedDocument(arn)
    if (document === undefined) throw invalid(`The policy ${arn} does not exist or is not attachable.`)
    documents.push(document)
  }
  return documents
}

/** The tags of a session that go on to the roles it assumes. */
function inheritedTags(caller: Principal | undefined): Record<string, string> {
  const { tags = {}, transitiveTagKeys = [] } = caller?.session ?? {}
  const goesOn = new Set(transitiveTagKeys.map((key) => key.toLowerCase()))
  return Object.fromEntries(Object.entries(tags).filter(([key]) => goesOn.has(key.toLowerCase())))
}

function packedPercent({ policy, policyArns, tags, transitiveTagKeys }: RequestedBounds): number | undefined {
  const isEmpty = policy === undefined && policyArns.length === 0 && Object.keys(tags).length === 0
  if (isEmpty) return undefined
  const packed = deflateRawSync(JSON.stringify([policy, policyArns, tags, transitiveTagKeys])).length
  const percent = Math.ceil((packed * 100) / packedLimitBytes)
  if (percent <= 100) return percent
  throw iamError('session-policy-too-large', `Packed policy consumes ${percent}% of allotted space, please use smaller policy.`)
}

function invalid(message: string): Error {
  return iamError('session-invalid', message)
}
