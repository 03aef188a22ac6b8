import type { QuotaSubject, QuotaType } from '../../../../registry/commands/quotas.ts'
import type { QuotaOperations, SetQuota } from '../../../../registry/quota-operations.ts'
import { parseAccountId, parseRepositoryName, repositoryArn, type AccountId } from '../../../../values/index.ts'
import type { PageTokens } from '../ecr/page-token.ts'
import { operation, type AwsCall, type AwsOperation } from '../../service.ts'
import { boolean, enumeration, integer, invalidParameter, list, required, simplePattern, string, structure } from '../../shapes.ts'
import * as shapes from './shapes.ts'
import { registryId, registryResource, repositoryName } from './target.ts'

/** Each is computed from what is there. */
const maxPageSize = 100

const quotaTypes = ['SIZE', 'IMAGES', 'REPOSITORIES'] as const
const typeNames: Record<QuotaType, (typeof quotaTypes)[number]> = { bytes: 'SIZE', images: 'IMAGES', repositories: 'REPOSITORIES' }

const subjectMembers = {
  registryId,
  scope: required(enumeration(['REPOSITORY', 'REGISTRY', 'ACCOUNT'])),
  repositoryName,
  accountId: string({ pattern: simplePattern(/^[0-9]{12}$/, '[0-9]{12}') }),
}

interface SubjectInput {
  readonly registryId?: string | undefined
  readonly scope: 'REPOSITORY' | 'REGISTRY' | 'ACCOUNT'
  readonly repositoryName?: string | undefined
  readonly accountId?: string | undefined
}

const amount = integer({ min: 0 })

/**
 * Quotas of repositories, registries and accounts. Those of a repository belong to whoever owns it; those of a registry or an account
 * to the installation's own account, which lends the room: nobody lifts what bounds them.
 */
export function quotaOperations(deps: {
  readonly quotas: QuotaOperations
  readonly pageTokens: PageTokens
  readonly homeAccountId: AccountId
}): Record<string, AwsOperation> {
  const { quotas, pageTokens, homeAccountId } = deps
  const resource = (input: SubjectInput, call: AwsCall): string => {
    const subject = subjectOf(input, call)
    if (subject.scope !== 'repository') return `arn:aws:stowage::${homeAccountId}:quota/${subject.accountId}`
    const { region, accountId } = call.context.registry
    return repositoryArn(region, accountId, parseRepositoryName(subject.name))
  }
  return {
    PutQuota: operation({
      action: 'stowage:PutQuota',
      resource,
      input: structure({ ...subjectMembers, maxSizeInBytes: amount, maxImageCount: amount, maxRepositoryCount: amount }),
      async handler(call, input) {
        const { maxSizeInBytes: bytes, maxImageCount: images, maxRepositoryCount: repositories } = input
        if (bytes === undefined && images === undefined && repositories === undefined) {
          throw invalidParameter([{ field: 'maxSizeInBytes', constraint: 'Member must not be null where there is neither maxImageCount nor maxRepositoryCount' }])
        }
        if (repositories !== undefined) refuseOfRepository(input, 'maxRepositoryCount')
        const maxima = { ...(bytes !== undefined && { bytes }), ...(images !== undefined && { images }), ...(repositories !== undefined && { repositories }) }
        return { quota: describe(await quotas.put(call.context, { subject: subjectOf(input, call), resource: resource(input, call), maxima })) }
      },
    }),

    DeleteQuota: operation({
      action: 'stowage:DeleteQuota',
      resource,
      input: structure({ ...subjectMembers, quotaTypes: list(enumeration(quotaTypes), { min: 1, max: quotaTypes.length }) }),
      async handler(call, input) {
        const types = input.quotaTypes && (Object.keys(typeNames) as QuotaType[]).filter((type) => input.quotaTypes?.includes(typeNames[type]))
        return { quota: describe(await quotas.delete(call.context, { subject: subjectOf(input, call), resource: resource(input, call), types })) }
      },
    }),

    ListQuotas: operation({
      action: 'stowage:ListQuotas',
      resource: (input, call) => (input.everyAccount === true ? `arn:aws:stowage::${homeAccountId}:quota/*` : registryResource(call)),
      input: structure({ registryId, everyAccount: boolean(), nextToken: shapes.nextToken, maxResults: integer({ min: 1, max: maxPageSize }) }),
      async handler({ context }, { everyAccount = false, nextToken, maxResults = maxPageSize }) {
        const identity = ['ListQuotas', everyAccount ? '' : context.registry.accountId, everyAccount ? '' : context.registry.region]
        const page = { limit: maxResults, after: pageTokens.read(identity, nextToken) }
        const { items, next } = await quotas.list(context, everyAccount ? 'installation' : 'registry', page)
        return { quotas: items.map(describe), nextToken: pageTokens.issue(identity, next) }
      },
    }),
  }
}

/** Throws InvalidParameterException where what names the subject does not go with its scope. */
function subjectOf({ scope, registryId: owner, repositoryName: name, accountId }: SubjectInput, call: AwsCall): QuotaSubject {
  if (scope === 'REPOSITORY') {
    if (name === undefined) throw invalidParameter([{ field: 'repositoryName', constraint: 'Member must not be null when scope is REPOSITORY' }])
    if (accountId !== undefined) throw invalidParameter([{ field: 'accountId', constraint: 'Member must be null when scope is REPOSITORY; registryId names the account' }])
    return { scope: 'repository', name }
  }
  for (const [field, value] of Object.entries({ repositoryName: name, registryId: owner })) {
    if (value !== undefined) throw invalidParameter([{ field, constraint: `Member must be null when scope is ${scope}` }])
  }
  const { registry } = call.context
  const account = accountId === undefined ? registry.accountId : parseAccountId(accountId)
  return scope === 'ACCOUNT' ? { scope: 'account', accountId: account } : { scope: 'registry', accountId: account, region: registry.region }
}

function refuseOfRepository({ scope }: SubjectInput, field: string): void {
  if (scope === 'REPOSITORY') throw invalidParameter([{ field, constraint: 'Member must be null when scope is REPOSITORY' }])
}

function describe({ subject, accountId, maxima, use, exceeded, changedAt, changedBy }: SetQuota) {
  return {
    scope: subject.scope.toUpperCase(),
    registryId: accountId,
    region: subject.scope === 'registry' ? subject.region : undefined,
    repositoryName: subject.scope === 'repository' ? subject.name : undefined,
    maxSizeInBytes: maxima.bytes,
    maxImageCount: maxima.images,
    maxRepositoryCount: maxima.repositories,
    // What there is now.
    sizeInBytes: use.bytes,
    imageCount: use.images,
    repositoryCount: use.repositories,
    exceeded: exceeded.map((type) => typeNames[type]),
    changedAt: new Date(changedAt),
    changedBy,
  }
}
