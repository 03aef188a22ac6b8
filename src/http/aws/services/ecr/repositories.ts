import type { Registry, Repository, TagMutability } from '../../../../registry/index.ts'
import { parseRepositoryName, repositoryArn } from '../../../../values/index.ts'
import { operation, type AwsCall, type AwsOperation } from '../../service.ts'
import { boolean, invalidParameter, required, structure, type Input } from '../../shapes.ts'
import type { Addresses } from './addresses.ts'
import { requestTagConditions } from './conditions.ts'
import { tokenBesideNames, type PageTokens } from './page-token.ts'
import { checkedTags } from './resource-tags.ts'
import * as shapes from './shapes.ts'
import { everyRepositoryResource, repositoryResource, targetOf } from './target.ts'

export function repositoryOperations(deps: {
  readonly registry: Registry
  readonly addresses: Addresses
  readonly pageTokens: PageTokens
}): Record<string, AwsOperation> {
  const { registry, addresses, pageTokens } = deps

  const describe = (repository: Repository, call: AwsCall) => {
    const { accountId, region } = call.context.registry
    return {
      repositoryArn: repositoryArn(region, accountId, repository.name),
      registryId: accountId,
      repositoryName: repository.name,
      repositoryUri: `${addresses.repositoryHost(call)}/${repository.name}`,
      createdAt: new Date(repository.createdAt),
      ...describeMutability(repository),
      imageScanningConfiguration: { scanOnPush: repository.scanOnPush },
      encryptionConfiguration: { encryptionType: repository.encryptionType },
    }
  }

  return {
    CreateRepository: operation({
      action: 'ecr:CreateRepository',
      resource: (input, call) => repositoryResource(input, call),
      conditions: ({ tags = [] }) => requestTagConditions(tags),
      input: structure({
        ...shapes.repositoryMembers,
        tags: shapes.resourceTags,
        imageTagMutability: shapes.imageTagMutability,
        imageTagMutabilityExclusionFilters: shapes.exclusionFilters,
        imageScanningConfiguration: shapes.imageScanningConfiguration,
        encryptionConfiguration: shapes.encryptionConfiguration,
      }),
      async handler(call, input) {
        const { context, name } = targetOf(input, call)
        refuseUnenforcedEncryption(input.encryptionConfiguration)
        const tags = checkedTags(input.tags ?? [])
        if (Object.keys(tags).length > 0) {
          await call.authorize('ecr:TagResource', repositoryResource(input, call), () => requestTagConditions(input.tags ?? []))
        }
        const tagMutability = input.imageTagMutability ?? 'MUTABLE'
        const repository = await registry.createRepository(context, {
          name,
          tagMutability,
          mutabilityFilters: checkedFilters(tagMutability, input.imageTagMutabilityExclusionFilters),
          scanOnPush: input.imageScanningConfiguration?.scanOnPush ?? false,
          tags,
        })
        return { repository: describe(repository, call) }
      },
    }),

    DescribeRepositories: operation({
      action: 'ecr:DescribeRepositories',
      resource(input, call) {
        const [repositoryName] = input.repositoryNames ?? []
        if (repositoryName === undefined) return everyRepositoryResource(call)
        return repositoryResource({ repositoryName }, call)
      },
      listsRepositories: ({ repositoryNames }) => repositoryNames === undefined,
      input: structure({
        registryId: shapes.registryId,
        repositoryNames: shapes.repositoryNames,
        nextToken: shapes.nextToken,
        maxResults: shapes.maxResults,
      }),
      async handler(call, input) {
        const { nextToken, maxResults } = input
        const { context } = call
        if (input.repositoryNames !== undefined) {
          if (nextToken !== undefined) throw tokenBesideNames('repositoryNames')
          const names = [...new Set(input.repositoryNames)]
          for (const repositoryName of names.slice(1)) {
            await call.authorize('ecr:DescribeRepositories', repositoryResource({ repositoryName }, call))
          }
          const found = await Promise.all(names.map((name) => registry.getRepository(context, parseRepositoryName(name))))
          return { repositories: found.map((repository) => describe(repository, call)) }
        }
        const list = ['DescribeRepositories', context.registry.id]
        const page = { limit: maxResults ?? shapes.defaultPageSize, after: pageTokens.read(list, nextToken) }
        const { items, next } = await registry.listRepositories(context, page, call.visibility)
        return {
          repositories: items.map((repository) => describe(repository, call)),
          nextToken: pageTokens.issue(list, next),
        }
      },
    }),

    DeleteRepository: operation({
      action: 'ecr:DeleteRepository',
      resource: (input, call) => repositoryResource(input, call),
      input: structure({ ...shapes.repositoryMembers, force: boolean() }),
      async handler(call, input) {
        const { context, name } = targetOf(input, call)
        const repository = await registry.deleteRepository(context, name, { force: input.force ?? false })
        return { repository: describe(repository, call) }
      },
    }),

    PutImageTagMutability: operation({
      action: 'ecr:PutImageTagMutability',
      resource: (input, call) => repositoryResource(input, call),
      input: structure({
        ...shapes.repositoryMembers,
        imageTagMutability: required(shapes.imageTagMutability),
        imageTagMutabilityExclusionFilters: shapes.exclusionFilters,
      }),
      async handler(call, input) {
        const { context, name } = targetOf(input, call)
        const filters = checkedFilters(input.imageTagMutability, input.imageTagMutabilityExclusionFilters)
        const repository = await registry.putTagMutability(context, name, input.imageTagMutability, filters)
        return {
          registryId: context.registry.accountId,
          repositoryName: repository.name,
          ...describeMutability(repository),
        }
      },
    }),
  }
}

export function describeMutability({ tagMutability, mutabilityFilters }: Pick<Repository, 'tagMutability' | 'mutabilityFilters'>) {
  return {
    imageTagMutability: tagMutability,
    imageTagMutabilityExclusionFilters:
      mutabilityFilters.length === 0
        ? undefined
        : mutabilityFilters.map((filter) => ({ filterType: 'WILDCARD', filter })),
  }
}

/** Filters are needed where the mode has exclusions, and would mean nothing where it has none. */
export function checkedFilters(mode: TagMutability, filters: shapes.ExclusionFilters | undefined): string[] {
  const hasExclusions = mode === 'MUTABLE_WITH_EXCLUSION' || mode === 'IMMUTABLE_WITH_EXCLUSION'
  if (hasExclusions !== (filters !== undefined)) {
    const rule = hasExclusions ? "can't be null" : 'must be null'
    throw invalidParameter([
      {
        field: 'imageTagMutabilityExclusionFilters',
        constraint: `ImageTagMutabilityExclusionFilters ${rule} when imageTagMutability is set as ${mode}`,
      },
    ])
  }
  return [...new Set(filters?.map(({ filter }) => filter))]
}

/** A setting that would be stored and not kept is worse than none. */
export function refuseUnenforcedEncryption(encryption: Input<typeof shapes.encryptionConfiguration> | undefined): void {
  if (encryption === undefined) return
  if (encryption.encryptionType !== 'AES256') {
    throw invalidParameter([
      {
        field: 'encryptionConfiguration.encryptionType',
        constraint: 'KMS encryption is not enforced by this server yet, so that it is not accepted; nothing is stored',
      },
    ])
  }
  if (encryption.kmsKey !== undefined && encryption.kmsKey !== '') {
    throw invalidParameter([
      { field: 'encryptionConfiguration.kmsKey', constraint: 'Member must be null when encryptionType is AES256' },
    ])
  }
}
