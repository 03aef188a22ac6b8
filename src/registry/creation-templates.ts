import type { Quotas } from '../config/quotas.ts'
import { serviceRole, showPrincipals } from '../iam/index.ts'
import { isPlatformError } from '../internal/platform-error.ts'
import type { MetadataDatabase } from '../storage/metadata/database.ts'
import type { Session } from '../storage/metadata/session.ts'
import {
  findCreationTemplates,
  listCreationTemplates,
  type CreationTemplateRow,
} from '../storage/metadata/stores/creation-template-store.ts'
import { parseRepositoryPrefix, prefixesOf, type RepositoryName } from '../values/index.ts'
import * as commands from './commands/creation-templates.ts'
import { createRepository } from './commands/repositories.ts'
import { commandContext } from './context.ts'
import { registryError } from './errors.ts'
import { toPage } from './paging.ts'
import { checkPolicy, pinnedPolicy } from './policy-rules.ts'
import type { CreationTemplate, CreationTemplateChanges, Registry, TagMutability, TemplateUse } from './types.ts'

export type CreationTemplateOperations = Pick<
  Registry,
  | 'createCreationTemplate'
  | 'updateCreationTemplate'
  | 'deleteCreationTemplate'
  | 'listCreationTemplates'
  | 'findCreationTemplates'
  | 'createForPush'
>

/** Who has to be trusted by the role of a template. */
const ecrService = 'ecr.amazonaws.com'

/** Templates for repositories that come into being by a push. Amazon ECR user guide, "Repository creation templates". */
export function creationTemplateOperations(deps: {
  database: MetadataDatabase
  quotas: Quotas
}): CreationTemplateOperations {
  const { database, quotas } = deps

  const shown = async (row: CreationTemplateRow): Promise<CreationTemplate> =>
    toTemplate((await withShownPolicies(database.reader, [row]))[0] ?? row)

  return {
    async createCreationTemplate(context, { prefix: writtenPrefix, ...settings }) {
      const prefix = parseRepositoryPrefix(writtenPrefix)
      const columns = toColumns(await withPinnedPolicy(database.reader, settings))
      const input = { prefix, writtenPrefix, settings: { ...unsetColumns, ...columns }, maxTemplates: quotas.creationTemplates }
      return shown(await database.execute(commands.createCreationTemplate, input, commandContext(context)))
    },

    async updateCreationTemplate(context, prefix, changes) {
      const input = { prefix, changes: toColumns(await withPinnedPolicy(database.reader, changes)) }
      return shown(await database.execute(commands.updateCreationTemplate, input, commandContext(context)))
    },

    async deleteCreationTemplate(context, prefix) {
      return shown(await database.execute(commands.deleteCreationTemplate, { prefix }, commandContext(context)))
    },

    async listCreationTemplates(context, page) {
      const rows = await listCreationTemplates(database.reader, context.registry.id, page.after ?? '', page.limit + 1)
      return toPage(await withShownPolicies(database.reader, rows), page.limit, toTemplate, (row) => row.prefix)
    },

    async findCreationTemplates(context, prefixes) {
      const rows = await findCreationTemplates(database.reader, context.registry.id, prefixes)
      return (await withShownPolicies(database.reader, rows)).map(toTemplate)
    },

    async createForPush(context, name, mayCreate) {
      const { region, newRegistry } = context.registry
      if (newRegistry?.isServedRegion === false) {
        throw registryError('repository-unknown', `The region '${region}' is not one of this installation.`)
      }
      const template = await templateForPush(database, context.registry.id, name)
      if (template === undefined) return false
      const { tagMutability, mutabilityFilters, tags, repositoryPolicy, lifecyclePolicy, customRoleArn } = template
      const role = customRoleArn === undefined ? undefined : await serviceRole(database.reader, customRoleArn, ecrService)
      if (customRoleArn !== undefined && role === undefined) return false
      if (!(await mayCreate(tags, role))) return false
      const input = {
        name,
        tagMutability,
        mutabilityFilters,
        scanOnPush: false,
        tags,
        repositoryPolicy,
        lifecyclePolicy,
        template: template.prefix,
        maxRepositories: quotas.repositoriesPerRegistry,
      }
      try {
        await database.execute(createRepository, input, commandContext(context))
      } catch (error) {
        if (!isPlatformError(error, 'repository-exists')) throw error
      }
      return true
    },
  }
}

/** The template of the longest prefix that is for pushes: one that is not stands in nobody's way. */
async function templateForPush(
  database: MetadataDatabase,
  registryId: number,
  name: RepositoryName,
): Promise<CreationTemplate | undefined> {
  const prefixes = prefixesOf(name)
  const rows = await findCreationTemplates(database.reader, registryId, prefixes)
  const templates = new Map(rows.map((row) => [row.prefix, toTemplate(row)]))
  const found = prefixes.find((prefix) => templates.get(prefix)?.appliedFor.includes('CREATE_ON_PUSH'))
  return found && templates.get(found)
}

/**
 * The settings with the policy as it is kept, here and in repositories: it means the users and roles that were there when it
 * was given to the template.
 */
async function withPinnedPolicy<Settings extends CreationTemplateChanges>(session: Session, settings: Settings): Promise<Settings> {
  const { repositoryPolicy } = settings
  if (repositoryPolicy === undefined || repositoryPolicy === '') return settings
  checkPolicy(repositoryPolicy, 'repository', 'RepositoryPolicy')
  return { ...settings, repositoryPolicy: await pinnedPolicy(session, repositoryPolicy, 'RepositoryPolicy') }
}

async function withShownPolicies(session: Session, rows: readonly CreationTemplateRow[]): Promise<CreationTemplateRow[]> {
  const policies = await showPrincipals(session, rows.map((row) => row.repository_policy ?? ''))
  return rows.map((row, index) => (row.repository_policy === null ? row : { ...row, repository_policy: policies[index] ?? row.repository_policy }))
}

const unsetColumns = {
  description: null,
  tag_mutability: 'MUTABLE',
  mutability_filters: '[]',
  resource_tags: '{}',
  repository_policy: null,
  lifecycle_policy: null,
  applied_for: '[]',
  custom_role_arn: null,
}

/** The columns of the settings that are there. An empty text is none. */
function toColumns(settings: CreationTemplateChanges): Partial<commands.TemplateSettings> {
  const { description, tagMutability, mutabilityFilters, tags, repositoryPolicy, lifecyclePolicy, appliedFor, customRoleArn } = settings
  return {
    ...(description === undefined ? {} : { description: orNull(description) }),
    ...(tagMutability === undefined ? {} : { tag_mutability: tagMutability }),
    ...(mutabilityFilters === undefined ? {} : { mutability_filters: JSON.stringify(mutabilityFilters) }),
    ...(tags === undefined ? {} : { resource_tags: JSON.stringify(tags) }),
    ...(repositoryPolicy === undefined ? {} : { repository_policy: orNull(repositoryPolicy) }),
    ...(lifecyclePolicy === undefined ? {} : { lifecycle_policy: orNull(lifecyclePolicy) }),
    ...(appliedFor === undefined ? {} : { applied_for: JSON.stringify(appliedFor) }),
    ...(customRoleArn === undefined ? {} : { custom_role_arn: orNull(customRoleArn) }),
  }
}

function orNull(text: string): string | null {
  return text === '' ? null : text
}

function toTemplate(row: CreationTemplateRow): CreationTemplate {
  return {
    prefix: row.written_prefix,
    description: row.description ?? undefined,
    tagMutability: row.tag_mutability as TagMutability,
    mutabilityFilters: JSON.parse(row.mutability_filters) as string[],
    tags: JSON.parse(row.resource_tags) as Record<string, string>,
    repositoryPolicy: row.repository_policy ?? undefined,
    lifecyclePolicy: row.lifecycle_policy ?? undefined,
    appliedFor: JSON.parse(row.applied_for) as TemplateUse[],
    customRoleArn: row.custom_role_arn ?? undefined,
    createdAt: row.created_at,
    updatedAt: row.updated_at,
  }
}
