import { hash } from 'node:crypto'
import { iamError, oidcProviderUrlIn, pageOfItems, type IamDirectory } from '../../../../iam/index.ts'
import { operation, type AwsCall, type AwsOperation } from '../../service.ts'
import { required, structure, type Shape } from '../../shapes.ts'
import {
  accountOf,
  changeOf,
  checkedTags,
  orNone,
  pageEnd,
  pageRequest,
  requestTagKeys,
  resourceTagKeys,
  type IamServiceDependencies,
} from './calls.ts'
import * as shapes from './shapes.ts'

/** Of a key as a whole, in UTF-8: IAM's markers have 320 characters, and ours write three bytes as four beside the list's name. */
const longestPosition = 200
/** Of a longer key; at most four bytes each. */
const codePointsOfPosition = 40

/** Where a tag stands in the list: its key, or the beginning of a long one with what tells it from others. */
function positionOf({ key }: { readonly key: string }): string {
  if (Buffer.byteLength(key) <= longestPosition) return key
  return `${[...key].slice(0, codePointsOfPosition).join('')} ${hash('sha256', key).slice(0, 16)}`
}

function byPosition(a: { readonly key: string }, b: { readonly key: string }): number {
  return positionOf(a) < positionOf(b) ? -1 : 1
}

type TagOwner = Parameters<IamDirectory['entities']['tagsOf']>[1]

interface Kind {
  /** As in `TagUser`. */
  readonly title: string
  /** The member that says whose tags are meant. */
  readonly member: string
  readonly shape: Shape<string>
  /** What the member names. Throws `entity-unknown`. */
  owner(call: AwsCall, value: string): Promise<TagOwner>
  resource(call: AwsCall, value: string): string | Promise<string>
}

/** The tags of users, roles, managed policies and OpenID Connect providers. The same calls for each. */
export function tagOperations(deps: IamServiceDependencies): Record<string, AwsOperation> {
  const { entities, policies } = deps.directory
  const named = (kind: 'user' | 'role', title: string, shape: Shape<string>): Kind => ({
    title,
    member: `${title}Name`,
    shape,
    owner: (_call, name) => Promise.resolve({ kind, name }),
    resource: (call, name) => entities.arnOf(accountOf(call), kind, name),
  })
  const kinds: readonly Kind[] = [
    named('user', 'User', shapes.name),
    named('role', 'Role', shapes.shortName),
    {
      title: 'Policy',
      member: 'PolicyArn',
      shape: shapes.arn,
      owner: async (call, arn) => ({ kind: 'policy', name: await policies.nameOf(accountOf(call), arn) }),
      resource: (_call, arn) => arn,
    },
    {
      title: 'OpenIDConnectProvider',
      member: 'OpenIDConnectProviderArn',
      shape: shapes.arn,
      owner: (call, arn) => {
        const url = oidcProviderUrlIn(arn, accountOf(call))
        if (url === undefined) throw iamError('entity-unknown', `OpenIDConnect Provider not found for arn ${arn}`)
        return Promise.resolve({ kind: 'oidc-provider', name: url })
      },
      resource: (_call, arn) => arn,
    },
  ]
  return Object.fromEntries(kinds.flatMap((kind) => Object.entries(operationsOf(kind, deps))))
}

function operationsOf(kind: Kind, deps: IamServiceDependencies): Record<string, AwsOperation> {
  const { entities } = deps.directory
  const { title, member } = kind
  const ownerMember = { [member]: required(kind.shape) } as { readonly Owner: ReturnType<typeof required<string>> }
  const valueIn = (input: object): string => (input as Readonly<Record<string, string>>)[member] ?? ''
  const resource = (input: object, call: AwsCall) => kind.resource(call, valueIn(input))
  const ownTags = async (input: object, call: AwsCall) => {
    const owner = await orNone(Promise.resolve().then(() => kind.owner(call, valueIn(input))))
    return owner === undefined ? {} : resourceTagKeys(deps, call, owner)
  }

  return {
    [`Tag${title}`]: operation({
      action: `iam:Tag${title}`,
      resource,
      conditions: async (input, call) => [{ ...(await ownTags(input, call)), ...requestTagKeys(input.Tags) }],
      input: structure({ ...ownerMember, Tags: required(shapes.tags) }),
      async handler(call, input) {
        const owner = await kind.owner(call, valueIn(input))
        await entities.tag(owner, checkedTags(input.Tags), `Tag${title}`, changeOf(call))
      },
    }),

    [`Untag${title}`]: operation({
      action: `iam:Untag${title}`,
      resource,
      conditions: async (input, call) => [{ ...(await ownTags(input, call)), 'aws:TagKeys': input.TagKeys }],
      input: structure({ ...ownerMember, TagKeys: required(shapes.tagKeys) }),
      async handler(call, input) {
        const owner = await kind.owner(call, valueIn(input))
        await entities.untag(owner, input.TagKeys, `Untag${title}`, changeOf(call))
      },
    }),

    [`List${title}Tags`]: operation({
      action: `iam:List${title}Tags`,
      resource,
      conditions: async (input, call) => [await ownTags(input, call)],
      input: structure({ ...ownerMember, ...shapes.pageMembers }),
      async handler(call, input) {
        const list = `tags-${title}`
        const tags = await entities.tagsOf(accountOf(call), await kind.owner(call, valueIn(input)))
        const { items, next } = pageOfItems(tags.toSorted(byPosition), positionOf, pageRequest(list, input))
        return { Tags: items.map(({ key, value }) => ({ Key: key, Value: value })), ...pageEnd(list, next) }
      },
    }),
  }
}
