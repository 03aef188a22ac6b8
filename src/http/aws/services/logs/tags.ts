import type { AuthorizationContext } from '../../../../iam/index.ts'
import { isPlatformError } from '../../../../internal/platform-error.ts'
import type { Logs } from '../../../../logs/index.ts'
import { logsError } from '../../../../logs/errors.ts'
import { operation, type AwsCall, type AwsOperation } from '../../service.ts'
import { required, structure } from '../../shapes.ts'
import { groupArn, groupOf } from './names.ts'
import * as shapes from './shapes.ts'

type Tags = Readonly<Record<string, string>>
type Conditions = readonly AuthorizationContext[]

/** The labels of log groups. */
export function tagOperations({ logs }: { readonly logs: Logs }): Record<string, AwsOperation> {
  const onGroup = ({ resourceArn }: { readonly resourceArn: string }, call: AwsCall): string => groupArn(call.context.registry, namedBy(resourceArn, call))
  return {
    TagResource: operation({
      action: 'logs:TagResource',
      resource: onGroup,
      conditions: async ({ resourceArn, tags }, call) => merged(tagConditions(tags), await tagsOfGroup(logs, call, namedBy(resourceArn, call))),
      input: structure({ resourceArn: required(shapes.resourceArn), tags: required(shapes.tags) }),
      async handler(call, { resourceArn, tags }) {
        requireOwnKeys(Object.keys(tags))
        await logs.tag(call.context.registry, namedBy(resourceArn, call), tags)
        return {}
      },
    }),

    UntagResource: operation({
      action: 'logs:UntagResource',
      resource: onGroup,
      conditions: async ({ resourceArn, tagKeys }, call) => merged([{ 'aws:TagKeys': tagKeys }], await tagsOfGroup(logs, call, namedBy(resourceArn, call))),
      input: structure({ resourceArn: required(shapes.resourceArn), tagKeys: required(shapes.tagKeys) }),
      async handler(call, { resourceArn, tagKeys }) {
        await logs.untag(call.context.registry, namedBy(resourceArn, call), tagKeys)
        return {}
      },
    }),

    ListTagsForResource: operation({
      action: 'logs:ListTagsForResource',
      resource: onGroup,
      conditions: ({ resourceArn }, call) => tagsOfGroup(logs, call, namedBy(resourceArn, call)),
      input: structure({ resourceArn: required(shapes.resourceArn) }),
      async handler(call, { resourceArn }) {
        return { tags: await logs.tagsOf(call.context.registry, namedBy(resourceArn, call)) }
      },
    }),
  }
}

/** `aws:RequestTag/<key>` and `aws:TagKeys` of a call that gives tags. */
export function tagConditions(tags: Tags): Conditions {
  const entries = Object.entries(tags)
  if (entries.length === 0) return []
  return [{ ...Object.fromEntries(entries.map(([key, value]) => [`aws:RequestTag/${key}`, value])), 'aws:TagKeys': Object.keys(tags) }]
}

/** `aws:ResourceTag/<key>` of a group; none where there is no such group. */
export async function tagsOfGroup(logs: Logs, { context }: AwsCall, group: string): Promise<Conditions> {
  try {
    const tags = await logs.tagsOf(context.registry, group)
    return [Object.fromEntries(Object.entries(tags).map(([key, value]) => [`aws:ResourceTag/${key}`, value]))]
  } catch (error) {
    if (isPlatformError(error, 'log-group-unknown')) return []
    throw error
  }
}

function merged([own = {}]: Conditions, [others = {}]: Conditions): Conditions {
  return [{ ...others, ...own }]
}

/** Keys that AWS keeps for itself. @throws `log-input-invalid` */
export function requireOwnKeys(keys: readonly string[]): void {
  if (keys.some((key) => key.toLowerCase().startsWith('aws:'))) throw logsError('log-input-invalid', 'Tag keys that begin with aws: are reserved.')
}

function namedBy(resourceArn: string, { context }: AwsCall): string {
  if (!resourceArn.startsWith('arn:')) throw logsError('log-input-invalid', 'The resource is not given by the ARN of a log group.')
  return groupOf(context.registry, resourceArn)
}
