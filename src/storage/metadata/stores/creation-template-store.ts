import type { Selectable } from 'kysely'
import type { Schema } from '../schema.ts'
import type { Session } from '../session.ts'
import { statement, type QueryBuilder } from '../statement.ts'

export type CreationTemplateRow = Selectable<Schema['creation_template']>

const ofPrefix = (db: QueryBuilder, p: { registryId: number; prefix: string }) =>
  db.selectFrom('creation_template').selectAll().where('registry_id', '=', p.registryId).where('prefix', '=', p.prefix)

const byPrefix = statement<{ registryId: number; prefix: string }>()((db, p) => ofPrefix(db, p))

const byPrefixLocked = statement<{ registryId: number; prefix: string }>()((db, p, dialect) =>
  ofPrefix(db, p).$if(dialect === 'postgres', (query) => query.forNoKeyUpdate()),
)

export function findCreationTemplate(
  session: Session,
  registryId: number,
  prefix: string,
): Promise<CreationTemplateRow | undefined> {
  return session.first(byPrefix, { registryId, prefix })
}

/** As `findCreationTemplate`, for a command that is about to change it. */
export function lockCreationTemplate(
  tx: Session,
  registryId: number,
  prefix: string,
): Promise<CreationTemplateRow | undefined> {
  return tx.first(byPrefixLocked, { registryId, prefix })
}

/** Those of the prefixes that have one, in the order of their prefixes. */
export function findCreationTemplates(
  session: Session,
  registryId: number,
  prefixes: readonly string[],
): Promise<CreationTemplateRow[]> {
  return session.query(
    session.builder
      .selectFrom('creation_template')
      .selectAll()
      .where('registry_id', '=', registryId)
      .where('prefix', 'in', prefixes)
      .orderBy('prefix'),
  )
}

const page = statement<{ registryId: number; after: string; limit: number }>()((db, p) =>
  db
    .selectFrom('creation_template')
    .selectAll()
    .where('registry_id', '=', p.registryId)
    .where('prefix', '>', p.after)
    .orderBy('prefix')
    .limit(p.limit),
)

/** In the order of their prefixes, after `after`. */
export function listCreationTemplates(
  session: Session,
  registryId: number,
  after: string,
  limit: number,
): Promise<CreationTemplateRow[]> {
  return session.all(page, { registryId, after, limit })
}

const insert = statement<CreationTemplateRow>()((db, p) =>
  db
    .insertInto('creation_template')
    .values({
      registry_id: p.registry_id,
      prefix: p.prefix,
      written_prefix: p.written_prefix,
      description: p.description,
      tag_mutability: p.tag_mutability,
      mutability_filters: p.mutability_filters,
      encryption_type: p.encryption_type,
      kms_key: p.kms_key,
      resource_tags: p.resource_tags,
      repository_policy: p.repository_policy,
      lifecycle_policy: p.lifecycle_policy,
      applied_for: p.applied_for,
      custom_role_arn: p.custom_role_arn,
      created_at: p.created_at,
      updated_at: p.updated_at,
    })
    .onConflict((conflict) => conflict.doNothing()),
)

/** False when the registry has one for the prefix. */
export async function insertCreationTemplate(tx: Session, row: CreationTemplateRow): Promise<boolean> {
  return (await tx.change(insert, row)) > 0
}

const update = statement<CreationTemplateRow>()((db, p) =>
  db
    .updateTable('creation_template')
    .set({
      description: p.description,
      tag_mutability: p.tag_mutability,
      mutability_filters: p.mutability_filters,
      resource_tags: p.resource_tags,
      repository_policy: p.repository_policy,
      lifecycle_policy: p.lifecycle_policy,
      applied_for: p.applied_for,
      custom_role_arn: p.custom_role_arn,
      updated_at: p.updated_at,
    })
    .where('registry_id', '=', p.registry_id)
    .where('prefix', '=', p.prefix),
)

/** Writes what can be changed of a template that the caller has locked. */
export async function updateCreationTemplateRow(tx: Session, row: CreationTemplateRow): Promise<void> {
  await tx.change(update, row)
}

const remove = statement<{ registryId: number; prefix: string }>()((db, p) =>
  db
    .deleteFrom('creation_template')
    .where('registry_id', '=', p.registryId)
    .where('prefix', '=', p.prefix)
    .returningAll(),
)

/** What the template was; undefined where there was none. */
export function deleteCreationTemplateRow(
  tx: Session,
  registryId: number,
  prefix: string,
): Promise<CreationTemplateRow | undefined> {
  return tx.first(remove, { registryId, prefix })
}
