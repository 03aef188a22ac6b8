import { isPlatformError } from '../../../../internal/platform-error.ts'
import { registryError, type Registry } from '../../../../registry/index.ts'
import { arnParts, parseArn, parseRepositoryName, type RepositoryName } from '../../../../values/index.ts'
import { AwsError } from '../../errors.ts'
import { operation, type AwsCall, type AwsOperation } from '../../service.ts'
import { invalidParameter, list, required, string, structure } from '../../shapes.ts'
import { requestTagConditions, tagKeyConditions } from './conditions.ts'
import { resourceTags, type ResourceTags } from './shapes.ts'
import { repositoryResource, targetOf } from './target.ts'

const maxKeyLength = 128
const maxValueLength = 256

/** ECR's quota for a repository, and so for one call. */
const maxTags = 50

/** Tag keys that AWS keeps for itself, in any spelling. */
const reservedPrefix = 'aws:'

const repositoryPrefix = 'repository/'

/** The labels of repositories. */
export function resourceTagOperations({ registry }: { readonly registry: Registry }): Record<string, AwsOperation> {
  return {
    TagResource: operation({
      action: 'ecr:TagResource',
      resource: (input, call) => resourceOf(input, call),
      conditions: ({ tags }) => requestTagConditions(tags),
      input: structure({ resourceArn: required(string()), tags: required(resourceTags) }),
      async handler(call, input) {
        const { context, name } = targetOf(namedBy(input, call), call)
        await registry.tagResource(context, name, checkedTags(input.tags))
      },
    }),

    UntagResource: operation({
      action: 'ecr:UntagResource',
      resource: (input, call) => resourceOf(input, call),
      conditions: ({ tagKeys }) => tagKeyConditions(tagKeys),
      input: structure({ resourceArn: required(string()), tagKeys: required(list(string())) }),
      async handler(call, input) {
        const { context, name } = targetOf(namedBy(input, call), call)
        const keys = [...new Set(input.tagKeys)]
        if (keys.length > maxTags) throw tooManyTags()
        for (const key of keys) checkKey(key)
        await registry.untagResource(context, name, keys)
      },
    }),

    ListTagsForResource: operation({
      action: 'ecr:ListTagsForResource',
      resource: (input, call) => resourceOf(input, call),
      input: structure({ resourceArn: required(string()) }),
      async handler(call, input) {
        const { context, name } = targetOf(namedBy(input, call), call)
        const tags = await registry.listResourceTags(context, name)
        return { tags: Object.entries(tags).map(([Key, Value]) => ({ Key, Value })) }
      },
    }),
  }
}

/**
 * Tags in the registry's form.
 * @throws AwsError InvalidTagParameterException; PlatformError `too-many-tags`
 */
export function checkedTags(tags: ResourceTags): Record<string, string> {
  const keys = new Set<string>()
  for (const { Key, Value } of tags) {
    checkKey(Key)
    if (codePoints(Value) > maxValueLength) throw invalidTag(`The value of a tag has at most ${maxValueLength} characters.`)
    if (keys.has(Key)) throw invalidTag('A tag key is given more than once.')
    keys.add(Key)
    if (keys.size > maxTags) throw tooManyTags()
  }
  // Makes own properties of all keys, also of those that an assignment would take for something else.
  return Object.fromEntries(tags.map(({ Key, Value }) => [Key, Value]))
}

function checkKey(key: string): void {
  if (key === '' || codePoints(key) > maxKeyLength) throw invalidTag(`The key of a tag has 1 to ${maxKeyLength} characters.`)
  if (key.toLowerCase().startsWith(reservedPrefix)) throw invalidTag(`Tag keys that begin with ${reservedPrefix} are reserved.`)
}

/** As AWS counts, where a long text needs no exact count. */
function codePoints(text: string): number {
  return text.length > 2 * maxValueLength ? text.length : [...text].length
}

function invalidTag(message: string): AwsError {
  return new AwsError('InvalidTagParameterException', message)
}

function tooManyTags(): Error {
  return registryError('too-many-tags', `A repository has at most ${maxTags} tags.`)
}

function resourceOf(input: { readonly resourceArn: string }, call: AwsCall): string {
  return repositoryResource(namedBy(input, call), call)
}

/** @throws AwsError InvalidParameterException where the ARN is not that of a repository in the call's region. */
function namedBy(
  { resourceArn }: { readonly resourceArn: string },
  call: AwsCall,
): { repositoryName: RepositoryName } {
  try {
    const { partition, service, region, accountId, resource } = arnParts(parseArn(resourceArn))
    const isRepository =
      partition === 'aws' &&
      service === 'ecr' &&
      region === call.context.registry.region &&
      resource.startsWith(repositoryPrefix)
    if (isRepository && accountId === call.context.registry.accountId) {
      return { repositoryName: parseRepositoryName(resource.slice(repositoryPrefix.length)) }
    }
  } catch (error) {
    if (!isPlatformError(error)) throw error
  }
  throw invalidParameter([{ field: 'resourceArn', constraint: 'Invalid ARN' }])
}
