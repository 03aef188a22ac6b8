import { defineCommand, type CommandContext } from '../../storage/metadata/command.ts'
import type { Session } from '../../storage/metadata/session.ts'
import { lockAccount } from '../../storage/metadata/stores/iam-entity-store.ts'
import { deleteIamTags } from '../../storage/metadata/stores/iam-tag-store.ts'
import {
  deleteOidcProviderRow,
  insertOidcProvider,
  lockOidcProviderRow,
  oidcProvidersOf,
  setOidcProviderLists,
  type OidcProviderRow,
} from '../../storage/metadata/stores/oidc-provider-store.ts'
import { oidcProviderArn, type AccountId } from '../../values/index.ts'
import { iamError } from '../errors.ts'
import { iamQuotas } from '../quotas.ts'
import { quotaExceeded, recordIamChange } from './change.ts'
import { addTags, type Tag } from './entity-tags.ts'

/** An identity provider whose tokens a role's trust policy may accept. URLs are without their scheme. */
export const createOidcProvider = defineCommand({
  name: 'create-oidc-provider',
  durability: 'durable',
  async run(
    tx,
    input: { url: string; clientIds: readonly string[]; thumbprints: readonly string[]; tags: readonly Tag[] },
    context,
  ): Promise<OidcProviderRow> {
    const { accountId } = context
    await lockAccount(tx, accountId)
    if ((await oidcProvidersOf(tx, accountId)).length >= iamQuotas.OpenIDConnectProvidersPerAccount) {
      throw quotaExceeded('OpenIDConnectProvidersPerAccount')
    }
    requireRoomForClientIds(input.clientIds)
    const row = await insertOidcProvider(tx, {
      account_id: accountId,
      url: input.url,
      client_ids: JSON.stringify(input.clientIds),
      thumbprints: JSON.stringify(input.thumbprints),
      created_at: context.nowMs,
    })
    if (!row) throw iamError('entity-exists', `Provider with url https://${input.url} already exists.`)
    await addTags(tx, { kind: 'oidc-provider', id: row.id }, input.tags)
    await recordIamChange(tx, context, {
      action: 'CreateOpenIDConnectProvider',
      resource: oidcProviderArn(accountId as AccountId, row.url),
      detail: { clientIds: input.clientIds, thumbprints: input.thumbprints },
    })
    return row
  },
})

/** What may change of a provider: the audiences it gives tokens to, and the certificates that its keys may come by. */
export type OidcProviderChange =
  | { readonly kind: 'add-client'; readonly clientId: string }
  | { readonly kind: 'remove-client'; readonly clientId: string }
  | { readonly kind: 'set-thumbprints'; readonly thumbprints: readonly string[] }

/** Adding a client id that is there, and removing one that is not, change nothing and succeed. */
export const updateOidcProvider = defineCommand({
  name: 'update-oidc-provider',
  durability: 'durable',
  async run(tx, input: { action: string; url: string; change: OidcProviderChange }, context): Promise<void> {
    const { row, id, arn } = await lockOidcProvider(tx, context, input.url)
    const { change } = input
    let clientIds = JSON.parse(row.client_ids) as string[]
    let thumbprints: readonly string[] = JSON.parse(row.thumbprints) as string[]
    switch (change.kind) {
      case 'add-client':
        if (!clientIds.includes(change.clientId)) clientIds.push(change.clientId)
        requireRoomForClientIds(clientIds)
        break
      case 'remove-client':
        clientIds = clientIds.filter((each) => each !== change.clientId)
        break
      case 'set-thumbprints':
        thumbprints = change.thumbprints
    }
    await setOidcProviderLists(tx, id, { clientIds, thumbprints })
    await recordIamChange(tx, context, { action: input.action, resource: arn, detail: { clientIds, thumbprints } })
  },
})

export const deleteOidcProvider = defineCommand({
  name: 'delete-oidc-provider',
  durability: 'durable',
  async run(tx, input: { url: string }, context): Promise<void> {
    const { id, arn } = await lockOidcProvider(tx, context, input.url)
    await deleteIamTags(tx, { kind: 'oidc-provider', id })
    await deleteOidcProviderRow(tx, id)
    await recordIamChange(tx, context, { action: 'DeleteOpenIDConnectProvider', resource: arn })
  },
})

/** The provider of the account, locked. Throws `entity-unknown`. */
export async function lockOidcProvider(
  tx: Session,
  { accountId }: CommandContext,
  url: string,
): Promise<{ row: OidcProviderRow; id: number; arn: string }> {
  const row = await lockOidcProviderRow(tx, accountId, url)
  if (!row) throw oidcProviderUnknown(oidcProviderArn(accountId as AccountId, url))
  return { row, id: row.id, arn: oidcProviderArn(accountId as AccountId, row.url) }
}

/** In IAM's words. */
export function oidcProviderUnknown(arn: string) {
  return iamError('entity-unknown', `OpenIDConnect Provider not found for arn ${arn}`)
}

function requireRoomForClientIds(clientIds: readonly string[]): void {
  if (clientIds.length > iamQuotas.ClientIdsPerOpenIDConnectProvider) throw quotaExceeded('ClientIdsPerOpenIDConnectProvider')
}
