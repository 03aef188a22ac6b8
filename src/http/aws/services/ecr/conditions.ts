import type { AuthorizationContext } from '../../../../iam/index.ts'
import type { ResourceTags } from './shapes.ts'

/** What a call's own condition keys are, in the form that `AwsOperation.conditions` takes. */
type Conditions = readonly AuthorizationContext[]

/** `aws:RequestTag/<key>` and `aws:TagKeys` of a call that gives tags to a repository. */
export function requestTagConditions(tags: ResourceTags): Conditions {
  if (tags.length === 0) return []
  const requested = tags.map(({ Key, Value }): [string, string] => [`aws:RequestTag/${Key}`, Value])
  return [{ ...Object.fromEntries(requested), 'aws:TagKeys': tags.map(({ Key }) => Key) }]
}

/** `aws:TagKeys` of a call that takes tags from a repository. */
export function tagKeyConditions(keys: readonly string[]): Conditions {
  return [{ 'aws:TagKeys': keys }]
}

/** The tag of an image that a call reads, sets or removes: a key of Stowage's own. */
const imageTagKey = 'stowage:ImageTag'

/**
 * One list member for each tag, so that the right to one says nothing of another; and one without the key where the
 * call also touches images by their digest.
 */
export function imageTagConditions(tags: readonly (string | undefined)[]): Conditions {
  return [...new Set(tags)].map((tag) => (tag === undefined ? {} : { [imageTagKey]: tag }))
}
