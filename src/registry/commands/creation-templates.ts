import { defineCommand, type CommandContext } from '../../storage/metadata/command.ts'
import {
  deleteCreationTemplateRow,
  insertCreationTemplate,
  listCreationTemplates,
  lockCreationTemplate,
  updateCreationTemplateRow,
  type CreationTemplateRow,
} from '../../storage/metadata/stores/creation-template-store.ts'
import { lockRegistryRow } from '../../storage/metadata/stores/repository-store.ts'
import { auditRegistry } from '../change.ts'
import { parameterInvalid, registryError } from '../errors.ts'
import { registryForChange } from './registries.ts'

/** The columns of a template that are set by its maker. */
export type TemplateSettings = Pick<
  CreationTemplateRow,
  | 'description'
  | 'tag_mutability'
  | 'mutability_filters'
  | 'resource_tags'
  | 'repository_policy'
  | 'lifecycle_policy'
  | 'applied_for'
  | 'custom_role_arn'
>

/** Throws `template-exists`, `limit-exceeded`, `parameter-invalid`. */
export const createCreationTemplate = defineCommand({
  name: 'create-creation-template',
  durability: 'durable',
  async run(
    tx,
    input: { prefix: string; writtenPrefix: string; settings: TemplateSettings; maxTemplates: number },
    context,
  ): Promise<CreationTemplateRow> {
    const { prefix, maxTemplates } = input
    const registryId = await registryForChange(tx, context)
    await lockRegistryRow(tx, registryId)
    const row: CreationTemplateRow = {
      ...input.settings,
      registry_id: registryId,
      prefix,
      written_prefix: input.writtenPrefix,
      encryption_type: 'AES256',
      kms_key: null,
      created_at: context.nowMs,
      updated_at: context.nowMs,
    }
    checkRole(row)
    if (!(await insertCreationTemplate(tx, row))) {
      throw registryError(
        'template-exists',
        `The repository creation template with prefix '${prefix}' already exists in the registry with id '${context.accountId}'`,
      )
    }
    if ((await listCreationTemplates(tx, registryId, '', maxTemplates + 1)).length > maxTemplates) {
      throw registryError(
        'limit-exceeded',
        `The registry with id '${context.accountId}' already has the maximum allowed number of repository creation templates which is '${maxTemplates}'`,
      )
    }
    await auditTemplate(tx, { ...context, registryId }, 'CreateRepositoryCreationTemplate', row)
    return row
  },
})

/** Throws `template-unknown`, `parameter-invalid`. */
export const updateCreationTemplate = defineCommand({
  name: 'update-creation-template',
  durability: 'durable',
  async run(
    tx,
    input: { prefix: string; changes: Partial<TemplateSettings> },
    context,
  ): Promise<CreationTemplateRow> {
    const existing = await lockCreationTemplate(tx, context.registryId, input.prefix)
    if (!existing) throw templateUnknown(input.prefix, context)
    const row: CreationTemplateRow = { ...existing, ...input.changes, updated_at: context.nowMs }
    checkRole(row)
    await updateCreationTemplateRow(tx, row)
    await auditTemplate(tx, context, 'UpdateRepositoryCreationTemplate', row)
    return row
  },
})

/** Answers what it was. Throws `template-unknown`. */
export const deleteCreationTemplate = defineCommand({
  name: 'delete-creation-template',
  durability: 'durable',
  async run(tx, input: { prefix: string }, context): Promise<CreationTemplateRow> {
    const row = await deleteCreationTemplateRow(tx, context.registryId, input.prefix)
    if (!row) throw templateUnknown(input.prefix, context)
    await auditRegistry(tx, context, 'DeleteRepositoryCreationTemplate', { prefix: input.prefix })
    return row
  },
})

/** ECR tags repositories as a role of the account, never by itself. User guide, "Repository creation templates". */
function checkRole(row: CreationTemplateRow): void {
  if (row.custom_role_arn === null && row.resource_tags !== '{}') {
    throw parameterInvalid('customRoleArn', 'Member must not be null when resourceTags is set')
  }
}

async function auditTemplate(
  tx: Parameters<typeof auditRegistry>[0],
  context: CommandContext,
  action: string,
  row: CreationTemplateRow,
): Promise<void> {
  await auditRegistry(tx, context, action, {
    prefix: row.prefix,
    description: row.description,
    imageTagMutability: row.tag_mutability,
    imageTagMutabilityExclusionFilters: JSON.parse(row.mutability_filters) as unknown,
    resourceTags: JSON.parse(row.resource_tags) as unknown,
    repositoryPolicy: row.repository_policy,
    lifecyclePolicy: row.lifecycle_policy,
    appliedFor: JSON.parse(row.applied_for) as unknown,
    customRoleArn: row.custom_role_arn,
  })
}

function templateUnknown(prefix: string, context: CommandContext): Error {
  return registryError(
    'template-unknown',
    `The repository creation template with prefix '${prefix}' does not exist in the registry with id '${context.accountId}'`,
  )
}
