import { iamError, type AuthorizationContext, type IamDirectory, type PageRequest } from '../../../../iam/index.ts'
import { isPlatformError } from '../../../../internal/platform-error.ts'
import { commandContext } from '../../../../registry/context.ts'
import type { AccountId } from '../../../../values/index.ts'
import { AwsError } from '../../errors.ts'
import type { AwsCall } from '../../service.ts'
import { defaultPageSize, type Tags } from './shapes.ts'

/** What the operations of IAM work with. */
export interface IamServiceDependencies {
  readonly directory: IamDirectory
}

/** The account a call works on: always the caller's own. */
export function accountOf({ context }: AwsCall): AccountId {
  return context.actor.accountId
}

export function changeOf({ context }: AwsCall): ReturnType<typeof commandContext> {
  return { ...commandContext(context), accountId: context.actor.accountId }
}

/** Whoever calls, as the user it is. Undefined for a root and for those who use a role. */
export function callingUser({ context: { actor } }: AwsCall): string | undefined {
  return actor.kind === 'user' ? actor.arn.slice(actor.arn.lastIndexOf('/') + 1) : undefined
}

/** The user a call names; where it names none, the caller. @throws AwsError ValidationError for callers who are no user */
export function userOrCaller(call: AwsCall, userName: string | undefined): string {
  const name = userName ?? callingUser(call)
  if (name === undefined) {
    throw new AwsError('ValidationError', 'Must specify userName when calling with non-User credentials')
  }
  return name
}

/** What something will be called: a right to rename has to hold for both, or a name could be taken that is another's to give. */
export function renamedArn(
  arn: string,
  kind: 'user' | 'group',
  { newName, newPath }: { readonly newName: string | undefined; readonly newPath: string | undefined },
): string {
  const start = arn.indexOf(`:${kind}/`) + kind.length + 1
  const end = arn.lastIndexOf('/') + 1
  return arn.slice(0, start) + (newPath ?? arn.slice(start, end)) + (newName ?? arn.slice(end))
}

interface PageInput {
  readonly Marker?: string | undefined
  readonly MaxItems?: number | undefined
}

/**
 * The page that a call of a list asks for. A marker says where a page of this list ended, and nothing else: it opens
 * nothing that the call itself does not.
 * @throws AwsError ValidationError where the marker is not of this list
 */
export function pageRequest(list: string, { Marker, MaxItems }: PageInput): PageRequest {
  const limit = MaxItems ?? defaultPageSize
  if (Marker === undefined) return { limit }
  try {
    const held: unknown = JSON.parse(Buffer.from(Marker, 'base64url').toString())
    if (Array.isArray(held) && held.length === 2 && held[0] === list && typeof held[1] === 'string') {
      return { limit, after: held[1] }
    }
  } catch {
    // As any other text that is none of ours.
  }
  throw new AwsError('ValidationError', 'Invalid Marker')
}

/** How a list's answer says whether there is more. */
export function pageEnd(list: string, next: string | undefined): { readonly IsTruncated: boolean; readonly Marker?: string } {
  if (next === undefined) return { IsTruncated: false }
  return { IsTruncated: true, Marker: Buffer.from(JSON.stringify([list, next])).toString('base64url') }
}

/**
 * Tags as they are kept.
 * @throws `iam-input-invalid` for keys that are there twice, in any spelling, or that AWS keeps for itself
 */
export function checkedTags(tags: Tags): { readonly key: string; readonly value: string }[] {
  const keys = new Set(tags.map(({ Key }) => Key.toLowerCase()))
  if (keys.size < tags.length) {
    throw iamError('iam-input-invalid', 'Duplicate tag keys found. Please note that Tag keys are case insensitive.')
  }
  if ([...keys].some((key) => key.startsWith('aws:'))) {
    throw iamError('iam-input-invalid', 'Tag keys that begin with aws: are reserved.')
  }
  return tags.map(({ Key, Value }) => ({ key: Key, value: Value }))
}

/** Tags as they are answered; undefined where there are none, as IAM leaves them out then. */
export function tagMembers(tags: readonly { readonly key: string; readonly value: string }[]): Tags | undefined {
  return tags.length === 0 ? undefined : tags.map(({ key, value }) => ({ Key: key, Value: value }))
}

/** `aws:RequestTag/<key>` and `aws:TagKeys` of a call that gives tags. */
export function requestTagKeys(tags: Tags | undefined): AuthorizationContext {
  if (tags === undefined || tags.length === 0) return {}
  const requested = tags.map(({ Key, Value }): [string, string] => [`aws:RequestTag/${Key}`, Value])
  return { ...Object.fromEntries(requested), 'aws:TagKeys': tags.map(({ Key }) => Key) }
}

/** `aws:ResourceTag/<key>` and `iam:ResourceTag/<key>` of what a call works on; nothing where there is no such thing. */
export async function resourceTagKeys(
  { directory }: IamServiceDependencies,
  call: AwsCall,
  owner: Parameters<IamDirectory['entities']['tagsOf']>[1],
): Promise<AuthorizationContext> {
  const tags = await orNone(directory.entities.tagsOf(accountOf(call), owner))
  return Object.fromEntries(
    (tags ?? []).flatMap(({ key, value }) => [
      [`aws:ResourceTag/${key}`, value],
      [`iam:ResourceTag/${key}`, value],
    ]),
  )
}

/** A boundary as it is answered. */
export function boundaryMember(arn: string | undefined): object | undefined {
  return arn === undefined ? undefined : { PermissionsBoundaryType: 'Policy', PermissionsBoundaryArn: arn }
}

/** Undefined where there is no such thing. */
export async function orNone<Found>(found: Promise<Found>): Promise<Found | undefined> {
  try {
    return await found
  } catch (error) {
    if (isPlatformError(error, 'entity-unknown')) return undefined
    throw error
  }
}
