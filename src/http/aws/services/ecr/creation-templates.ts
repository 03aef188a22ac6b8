import {
  parameterInvalid,
  type CreationTemplate,
  type CreationTemplateChanges,
  type Registry,
  type TagMutability,
} from '../../../../registry/index.ts'
import type { LifecyclePolicies } from '../../../../lifecycle/index.ts'
import { arnParts, parseArn, parseRepositoryPrefix } from '../../../../values/index.ts'
import { operation, type AwsCall, type AwsOperation } from '../../service.ts'
import { required, structure, type Input } from '../../shapes.ts'
import { requestTagConditions } from './conditions.ts'
import { tokenBesideNames, type PageTokens } from './page-token.ts'
import { policyText } from './policy-text.ts'
import { checkedFilters, describeMutability, refuseUnenforcedEncryption } from './repositories.ts'
import { checkedTags } from './resource-tags.ts'
import * as shapes from './shapes.ts'

const settings = {
  description: shapes.templateDescription,
  encryptionConfiguration: shapes.templateEncryption,
  resourceTags: shapes.resourceTags,
  imageTagMutability: shapes.imageTagMutability,
  imageTagMutabilityExclusionFilters: shapes.exclusionFilters,
  repositoryPolicy: shapes.policyText,
  lifecyclePolicy: shapes.templateLifecyclePolicy,
  customRoleArn: shapes.customRoleArn,
}

const newTemplate = structure({ prefix: required(shapes.templatePrefix), ...settings, appliedFor: required(shapes.appliedFor) })
const changedTemplate = structure({ prefix: required(shapes.templatePrefix), ...settings, appliedFor: shapes.appliedFor })

type TemplateInput = Input<typeof changedTemplate>

/** The settings of repositories that come into being by a push. */
export function creationTemplateOperations(deps: {
  readonly registry: Registry
  readonly lifecycle: { readonly policies: LifecyclePolicies }
  readonly pageTokens: PageTokens
}): Record<string, AwsOperation> {
  const { registry, lifecycle, pageTokens } = deps
  return {
    CreateRepositoryCreationTemplate: operation({
      action: 'ecr:CreateRepositoryCreationTemplate',
      resource: () => '*',
      input: newTemplate,
      async handler(call, input) {
        const changes = checkedSettings(input, call, lifecycle.policies)
        await authorizeSettings(input, call)
        const template = await registry.createCreationTemplate(call.context, {
          prefix: input.prefix,
          description: changes.description,
          tagMutability: changes.tagMutability ?? 'MUTABLE',
          mutabilityFilters: changes.mutabilityFilters ?? [],
          tags: changes.tags ?? {},
          repositoryPolicy: changes.repositoryPolicy,
          lifecyclePolicy: changes.lifecyclePolicy,
          appliedFor: input.appliedFor,
          customRoleArn: changes.customRoleArn,
        })
        return answer(template, call)
      },
    }),

    UpdateRepositoryCreationTemplate: operation({
      action: 'ecr:UpdateRepositoryCreationTemplate',
      resource: () => '*',
      input: changedTemplate,
      async handler(call, input) {
        const changes = checkedSettings(input, call, lifecycle.policies)
        await authorizeSettings(input, call)
        return answer(await registry.updateCreationTemplate(call.context, parseRepositoryPrefix(input.prefix), changes), call)
      },
    }),

    DeleteRepositoryCreationTemplate: operation({
      action: 'ecr:DeleteRepositoryCreationTemplate',
      resource: () => '*',
      input: structure({ prefix: required(shapes.templatePrefix) }),
      async handler(call, { prefix }) {
        return answer(await registry.deleteCreationTemplate(call.context, parseRepositoryPrefix(prefix)), call)
      },
    }),

    DescribeRepositoryCreationTemplates: operation({
      action: 'ecr:DescribeRepositoryCreationTemplates',
      resource: () => '*',
      input: structure({
        prefixes: shapes.templatePrefixes,
        nextToken: shapes.nextToken,
        maxResults: shapes.maxResults,
      }),
      async handler({ context }, { prefixes, nextToken, maxResults }) {
        const registryId = context.registry.accountId
        if (prefixes !== undefined && prefixes.length > 0) {
          if (nextToken !== undefined) throw tokenBesideNames('prefixes')
          const found = await registry.findCreationTemplates(context, prefixes.map(parseRepositoryPrefix))
          return { registryId, repositoryCreationTemplates: found.map(describe) }
        }
        const list = ['DescribeRepositoryCreationTemplates', context.registry.id]
        const { items, next } = await registry.listCreationTemplates(context, {
          limit: maxResults ?? shapes.defaultPageSize,
          after: pageTokens.read(list, nextToken),
        })
        return {
          registryId,
          repositoryCreationTemplates: items.map(describe),
          nextToken: pageTokens.issue(list, next),
        }
      },
    }),
  }
}

/** What of an input is there, in the registry's form. Refuses what could not be kept. */
function checkedSettings(input: TemplateInput, call: AwsCall, lifecyclePolicies: LifecyclePolicies): CreationTemplateChanges {
  refuseUnenforcedEncryption(input.encryptionConfiguration)
  const { lifecyclePolicy, imageTagMutability: mode, imageTagMutabilityExclusionFilters: filters, resourceTags, customRoleArn } = input
  if (customRoleArn !== undefined && customRoleArn !== '') checkRole(customRoleArn, call)
  return {
    description: input.description,
    ...checkedMutability(mode, filters),
    tags: resourceTags && checkedTags(resourceTags),
    repositoryPolicy: input.repositoryPolicy,
    lifecyclePolicy: lifecyclePolicy === undefined || lifecyclePolicy === '' ? lifecyclePolicy : lifecyclePolicies.check(lifecyclePolicy),
    appliedFor: input.appliedFor && [...new Set(input.appliedFor)],
    customRoleArn,
  }
}

function checkedMutability(
  mode: TagMutability | undefined,
  filters: shapes.ExclusionFilters | undefined,
): Pick<CreationTemplateChanges, 'tagMutability' | 'mutabilityFilters'> {
  if (mode !== undefined) return { tagMutability: mode, mutabilityFilters: checkedFilters(mode, filters) }
  if (filters === undefined) return {}
  throw parameterInvalid('imageTagMutabilityExclusionFilters', 'Member must be null when imageTagMutability is not set')
}

/** The role under which repositories are made is one of the registry's own account. */
function checkRole(arn: string, { context }: AwsCall): void {
  const { service, accountId, resource } = arnParts(parseArn(arn))
  if (service !== 'iam' || accountId !== context.registry.accountId || !/^role\/./.test(resource)) {
    throw parameterInvalid('customRoleArn', 'Member must be the ARN of a role of this account')
  }
}

/**
 * Whoever makes a template makes repositories by it: what it gives them takes the rights to give it. Service Authorization
 * Reference, "Actions defined by Amazon Elastic Container Registry".
 */
async function authorizeSettings(input: TemplateInput, call: AwsCall): Promise<void> {
  const { region, accountId } = call.context.registry
  const prefix = parseRepositoryPrefix(input.prefix)
  const repositories = `arn:aws:ecr:${region}:${accountId}:repository/${prefix === 'ROOT' ? '' : `${prefix}/`}*`
  const { repositoryPolicy = '', lifecyclePolicy = '', resourceTags = [], customRoleArn = '' } = input
  const tagConditions = () => requestTagConditions(resourceTags)
  await call.authorize('ecr:CreateRepository', repositories, tagConditions)
  if (repositoryPolicy !== '') await call.authorize('ecr:SetRepositoryPolicy', repositories)
  if (lifecyclePolicy !== '') await call.authorize('ecr:PutLifecyclePolicy', repositories)
  if (resourceTags.length > 0) await call.authorize('ecr:TagResource', repositories, tagConditions)
  if (customRoleArn !== '') {
    await call.authorize('iam:PassRole', customRoleArn, () => [{ 'iam:PassedToService': 'ecr.amazonaws.com' }])
  }
}

function answer(template: CreationTemplate, { context }: AwsCall) {
  return { registryId: context.registry.accountId, repositoryCreationTemplate: describe(template) }
}

function describe(template: CreationTemplate) {
  const { repositoryPolicy, tags } = template
  const resourceTags = Object.entries(tags).map(([Key, Value]) => ({ Key, Value }))
  return {
    prefix: template.prefix,
    description: template.description,
    encryptionConfiguration: { encryptionType: 'AES256' },
    resourceTags: resourceTags.length === 0 ? undefined : resourceTags,
    ...describeMutability(template),
    repositoryPolicy: repositoryPolicy === undefined ? undefined : policyText(repositoryPolicy),
    lifecyclePolicy: template.lifecyclePolicy,
    appliedFor: template.appliedFor,
    customRoleArn: template.customRoleArn,
    createdAt: new Date(template.createdAt),
    updatedAt: new Date(template.updatedAt),
  }
}
