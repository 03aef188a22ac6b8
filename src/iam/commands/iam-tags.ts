import { defineCommand, type CommandContext } from '../../storage/metadata/command.ts'
import type { Session } from '../../storage/metadata/session.ts'
import { recordAudit } from '../../storage/metadata/stores/change-log.ts'
import { deleteIamTag, iamTags, type TagOwnerKind } from '../../storage/metadata/stores/iam-tag-store.ts'
import { arnOf, lockEntity, recordIamChange } from './change.ts'
import { addTags, type Tag } from './entity-tags.ts'
import { lockOidcProvider } from './oidc-providers.ts'

/** What has tags; `name` of an OpenID Connect provider is its URL without the scheme. */
export interface TagOwner {
  readonly kind: TagOwnerKind
  readonly name: string
}

export const tagEntity = defineCommand({
  name: 'tag-iam-entity',
  durability: 'durable',
  async run(tx, input: { action: string; owner: TagOwner; tags: readonly Tag[] }, context): Promise<void> {
    const { id, arn } = await lockOwner(tx, context, input.owner)
    const isChanged = await addTags(tx, { kind: input.owner.kind, id }, input.tags)
    const tags = Object.fromEntries(input.tags.map(({ key, value }) => [key, value]))
    await recordTagChange(tx, context, isChanged, { action: input.action, resource: arn, detail: { tags } })
  },
})

export const untagEntity = defineCommand({
  name: 'untag-iam-entity',
  durability: 'durable',
  async run(tx, input: { action: string; owner: TagOwner; keys: readonly string[] }, context): Promise<void> {
    const { kind } = input.owner
    const { id, arn } = await lockOwner(tx, context, input.owner)
    const unwanted = new Set(input.keys.map((key) => key.toLowerCase()))
    const dropped = (await iamTags(tx, { kind, id })).filter(({ key }) => unwanted.has(key.toLowerCase()))
    for (const { key } of dropped) await deleteIamTag(tx, { kind, id }, key)
    await recordTagChange(tx, context, dropped.length > 0, { action: input.action, resource: arn, detail: { tagKeys: input.keys } })
  },
})

/** A call that changes nothing leaves alone what was learned of rights. */
async function recordTagChange(tx: Session, context: CommandContext, isChanged: boolean, change: Parameters<typeof recordAudit>[2]): Promise<void> {
  if (isChanged) await recordIamChange(tx, context, change)
  else await recordAudit(tx, context, change)
}

async function lockOwner(tx: Session, context: CommandContext, { kind, name }: TagOwner): Promise<{ id: number; arn: string }> {
  if (kind === 'oidc-provider') return lockOidcProvider(tx, context, name)
  const row = await lockEntity(tx, context, kind, name)
  return { id: row.id, arn: arnOf(kind, row) }
}
