import { AwsError } from '../../errors.ts'
import { operation, type AwsCall, type AwsOperation } from '../../service.ts'
import { list, required, simplePattern, string, structure } from '../../shapes.ts'
import {
  accountOf,
  changeOf,
  checkedTags,
  orNone,
  requestTagKeys,
  resourceTagKeys,
  tagMembers,
  type IamServiceDependencies,
} from './calls.ts'
import { iamError, iamQuotas, oidcProviderUrlIn } from '../../../../iam/index.ts'
import * as shapes from './shapes.ts'

const clientId = string({ min: 1, max: 255 })

/** More than there may be, so that the number itself is what is refused. */
const clientIds = list(clientId, { max: 1000 })

/** The SHA-1 of a certificate, as IAM has it. */
const thumbprint = string({ min: 40, max: 40, pattern: simplePattern(/^[0-9A-Fa-f]+$/, '[0-9A-Fa-f]+') })

const thumbprints = list(thumbprint, { max: 1000 })

/** OpenID Connect providers: https://docs.aws.amazon.com/IAM/latest/APIReference/API_CreateOpenIDConnectProvider.html */
export function oidcProviderOperations(deps: IamServiceDependencies): Record<string, AwsOperation> {
  const { oidcProviders, entities } = deps.directory

  const ownTags = async (call: AwsCall, arn: string) => {
    const name = oidcProviderUrlIn(arn, accountOf(call))
    return name === undefined ? [] : [await resourceTagKeys(deps, call, { kind: 'oidc-provider', name })]
  }
  const arnOf = (call: AwsCall, url: string) => `arn:aws:iam::${accountOf(call)}:oidc-provider/${url.replace(/^https:\/\//i, '')}`

  return {
    CreateOpenIDConnectProvider: operation({
      action: 'iam:CreateOpenIDConnectProvider',
      resource: (input, call) => arnOf(call, input.Url),
      conditions: ({ Tags }) => [requestTagKeys(Tags)],
      input: structure({
        Url: required(string({ min: 1, max: 255 })),
        ClientIDList: clientIds,
        ThumbprintList: thumbprints,
        Tags: shapes.tags,
      }),
      async handler(call, input) {
        const url = checkedUrl(input.Url)
        const tags = checkedTags(input.Tags ?? [])
        if (tags.length > 0) {
          const arn = arnOf(call, input.Url)
          await call.authorize('iam:TagOpenIDConnectProvider', arn, () => [requestTagKeys(input.Tags)])
        }
        const provider = await oidcProviders.create(
          {
            url,
            clientIds: [...new Set(input.ClientIDList)],
            thumbprints: checkedThumbprints(input.ThumbprintList ?? []),
            tags,
          },
          changeOf(call),
        )
        return { OpenIDConnectProviderArn: provider.arn, Tags: tagMembers(tags) }
      },
    }),

    GetOpenIDConnectProvider: operation({
      action: 'iam:GetOpenIDConnectProvider',
      resource: (input) => input.OpenIDConnectProviderArn,
      conditions: (input, call) => ownTags(call, input.OpenIDConnectProviderArn),
      input: structure({ OpenIDConnectProviderArn: required(shapes.arn) }),
      async handler(call, input) {
        const accountId = accountOf(call)
        const provider = await oidcProviders.get(accountId, input.OpenIDConnectProviderArn)
        const tags = await orNone(entities.tagsOf(accountId, { kind: 'oidc-provider', name: provider.url }))
        return {
          Url: provider.url,
          ClientIDList: provider.clientIds,
          ThumbprintList: provider.thumbprints,
          CreateDate: new Date(provider.createdAt),
          Tags: tagMembers(tags ?? []),
        }
      },
    }),

    ListOpenIDConnectProviders: operation({
      action: 'iam:ListOpenIDConnectProviders',
      resource: () => '*',
      input: structure({}),
      async handler(call) {
        const providers = await oidcProviders.list(accountOf(call))
        return { OpenIDConnectProviderList: providers.map(({ arn }) => ({ Arn: arn })) }
      },
    }),

    DeleteOpenIDConnectProvider: operation({
      action: 'iam:DeleteOpenIDConnectProvider',
      resource: (input) => input.OpenIDConnectProviderArn,
      conditions: (input, call) => ownTags(call, input.OpenIDConnectProviderArn),
      input: structure({ OpenIDConnectProviderArn: required(shapes.arn) }),
      async handler(call, input) {
        await oidcProviders.remove(input.OpenIDConnectProviderArn, changeOf(call))
      },
    }),

    AddClientIDToOpenIDConnectProvider: operation({
      action: 'iam:AddClientIDToOpenIDConnectProvider',
      resource: (input) => input.OpenIDConnectProviderArn,
      conditions: (input, call) => ownTags(call, input.OpenIDConnectProviderArn),
      input: structure({ OpenIDConnectProviderArn: required(shapes.arn), ClientID: required(clientId) }),
      async handler(call, input) {
        const change = { kind: 'add-client', clientId: input.ClientID } as const
        const action = 'AddClientIDToOpenIDConnectProvider'
        await oidcProviders.update(input.OpenIDConnectProviderArn, change, action, changeOf(call))
      },
    }),

    RemoveClientIDFromOpenIDConnectProvider: operation({
      action: 'iam:RemoveClientIDFromOpenIDConnectProvider',
      resource: (input) => input.OpenIDConnectProviderArn,
      conditions: (input, call) => ownTags(call, input.OpenIDConnectProviderArn),
      input: structure({ OpenIDConnectProviderArn: required(shapes.arn), ClientID: required(clientId) }),
      async handler(call, input) {
        const change = { kind: 'remove-client', clientId: input.ClientID } as const
        const action = 'RemoveClientIDFromOpenIDConnectProvider'
        await oidcProviders.update(input.OpenIDConnectProviderArn, change, action, changeOf(call))
      },
    }),

    UpdateOpenIDConnectProviderThumbprint: operation({
      action: 'iam:UpdateOpenIDConnectProviderThumbprint',
      resource: (input) => input.OpenIDConnectProviderArn,
      conditions: (input, call) => ownTags(call, input.OpenIDConnectProviderArn),
      input: structure({ OpenIDConnectProviderArn: required(shapes.arn), ThumbprintList: required(thumbprints) }),
      async handler(call, input) {
        const change = { kind: 'set-thumbprints', thumbprints: checkedThumbprints(input.ThumbprintList) } as const
        const action = 'UpdateOpenIDConnectProviderThumbprint'
        await oidcProviders.update(input.OpenIDConnectProviderArn, change, action, changeOf(call))
      },
    }),
  }
}

/**
 * An issuer without its scheme, as its ARN has it; a port and a path may belong to it. Tokens are believed because their
 * keys come from there over TLS: nothing but https will do.
 */
function checkedUrl(text: string): string {
  const url = /^https:\/\/[\u0021-\u007e]+$/i.test(text) ? URL.parse(text) : null
  const isPlain = url !== null && url.username === '' && url.password === '' && !/[?#\\]/.test(text)
  // Claims of a provider that is called `aws` would be keys of AWS's own.
  const isOneWord = !/[.:]/.test(text.slice('https://'.length))
  if (!isPlain || isOneWord) throw new AwsError('ValidationError', 'Invalid Open ID Connect Provider URL')
  return text.slice('https://'.length)
}

function checkedThumbprints(given: readonly string[]): string[] {
  const most = iamQuotas.ThumbprintsPerOpenIDConnectProvider
  if (given.length > most) throw iamError('iam-input-invalid', `Thumbprint list must contain at most ${most} entries.`)
  return [...new Set(given.map((each) => each.toLowerCase()))]
}
