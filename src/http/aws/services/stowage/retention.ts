import type { RetentionPlace, RetentionPolicies, RetentionPolicy } from '../../../../lifecycle/index.ts'
import { parseRepositoryName, parseRepositoryPrefix, repositoryArn, type RepositoryName } from '../../../../values/index.ts'
import type { AwsErrorForm, WireCode } from '../../errors.ts'
import type { PageTokens } from '../ecr/page-token.ts'
import { nextToken, templatePrefix } from '../ecr/shapes.ts'
import { operation, type AwsCall, type AwsOperation } from '../../service.ts'
import { enumeration, integer, invalidParameter, required, string, structure, type Input } from '../../shapes.ts'
import { registryId, registryResource, repositoryName } from './target.ts'

const maxPageSize = 100

/** What is wrong with one, its length too, is told by whoever reads it. */
export const policyText = string()

export const placeMembers = {
  registryId,
  scope: required(enumeration(['REPOSITORY', 'PREFIX', 'REGISTRY'])),
  repositoryName,
  prefix: templatePrefix,
}

const placeInput = structure(placeMembers)

const errors: Partial<Record<WireCode, AwsErrorForm>> = {
  'lifecycle-policy-unknown': { type: 'RetentionPolicyNotFoundException', status: 400 },
}

/**
 * Policies of rules that delete and keep, for a repository, for the repositories under a prefix, or for a registry. Their
 * resources are the repository, `repository/<prefix>/*`, and the registry: who may put a policy for a prefix may do so for
 * everything under it.
 */
export function retentionOperations(deps: {
  readonly retention: RetentionPolicies
  readonly pageTokens: PageTokens
}): Record<string, AwsOperation> {
  const { retention, pageTokens } = deps
  return {
    PutRetentionPolicy: operation({
      action: 'stowage:PutRetentionPolicy',
      resource: placeResource,
      input: structure({ ...placeMembers, policyText: required(policyText) }),
      errors,
      async handler({ context }, input) {
        return shown(context.registry.accountId, await retention.put(context, placeOf(input), input.policyText))
      },
    }),

    GetRetentionPolicy: operation({
      action: 'stowage:GetRetentionPolicy',
      resource: placeResource,
      input: placeInput,
      errors,
      async handler({ context }, input) {
        return shown(context.registry.accountId, await retention.get(context, placeOf(input)))
      },
    }),

    DeleteRetentionPolicy: operation({
      action: 'stowage:DeleteRetentionPolicy',
      resource: placeResource,
      input: placeInput,
      errors,
      async handler({ context }, input) {
        return shown(context.registry.accountId, await retention.delete(context, placeOf(input)))
      },
    }),

    ListRetentionPolicies: operation({
      action: 'stowage:ListRetentionPolicies',
      resource: (_, call) => registryResource(call),
      input: structure({ registryId, nextToken, maxResults: integer({ min: 1, max: maxPageSize }) }),
      async handler({ context }, input) {
        const list = ['ListRetentionPolicies', context.registry.id]
        const page = { limit: input.maxResults ?? maxPageSize, after: pageTokens.read(list, input.nextToken) }
        const { items, next } = await retention.list(context, page)
        return { policies: items.map((policy) => shown(context.registry.accountId, policy)), nextToken: pageTokens.issue(list, next) }
      },
    }),

    ListPolicyVersions: operation({
      action: 'stowage:ListPolicyVersions',
      resource: placeResource,
      input: structure({
        ...placeMembers,
        policyType: enumeration(['LIFECYCLE', 'RETENTION']),
        nextToken,
        maxResults: integer({ min: 1, max: maxPageSize }),
      }),
      errors,
      async handler({ context }, input) {
        const place = placeOf(input)
        const grammar = input.policyType === 'LIFECYCLE' ? 'ecr' : 'retention'
        if (grammar === 'ecr' && place.scope !== 'repository') {
          throw invalidParameter([{ field: 'policyType', constraint: 'Only repositories have lifecycle policies' }])
        }
        const list = ['ListPolicyVersions', context.registry.id, grammar, JSON.stringify(place)]
        const page = { grammar, limit: input.maxResults ?? maxPageSize, after: pageTokens.read(list, input.nextToken) } as const
        const { items, next } = await retention.versions(context, place, page)
        const versions = items.map(({ version, document, changedAt, changedBy }) => ({
          version,
          policyText: document ?? undefined,
          changedAt: new Date(changedAt),
          changedBy,
        }))
        return { versions, nextToken: pageTokens.issue(list, next) }
      },
    }),
  }
}

type PlaceInput = Input<typeof placeInput>

/** Throws InvalidParameterException where what names the place does not go with its scope. */
function placeOf({ scope, repositoryName: name, prefix }: PlaceInput): RetentionPlace {
  const named = { REPOSITORY: 'repositoryName', PREFIX: 'prefix', REGISTRY: undefined }[scope]
  for (const [field, value] of Object.entries({ repositoryName: name, prefix })) {
    if (field === named && value === undefined) throw invalidParameter([{ field, constraint: `Member must not be null when scope is ${scope}` }])
    if (field !== named && value !== undefined) throw invalidParameter([{ field, constraint: `Member must be null when scope is ${scope}` }])
  }
  if (scope === 'REPOSITORY') return { scope: 'repository', name: parseRepositoryName(name!) }
  if (scope === 'REGISTRY') return { scope: 'registry' }
  if (prefix === 'ROOT') throw invalidParameter([{ field: 'prefix', constraint: 'Member must be a prefix; scope REGISTRY is for all repositories' }])
  return { scope: 'prefix', prefix: parseRepositoryPrefix(prefix!) }
}

function placeResource(input: PlaceInput, call: AwsCall): string {
  const place = placeOf(input)
  const { region, accountId } = call.context.registry
  switch (place.scope) {
    case 'repository':
      return repositoryArn(region, accountId, place.name as RepositoryName)
    case 'prefix':
      return `arn:aws:ecr:${region}:${accountId}:repository/${place.prefix}/*`
    case 'registry':
      return registryResource(call)
  }
}

function shown(accountId: string, { place, document, version, updatedAt, updatedBy }: RetentionPolicy) {
  return {
    registryId: accountId,
    scope: place.scope.toUpperCase(),
    repositoryName: place.scope === 'repository' ? place.name : undefined,
    prefix: place.scope === 'prefix' ? place.prefix : undefined,
    policyText: document,
    version,
    updatedAt: new Date(updatedAt),
    updatedBy,
  }
}
