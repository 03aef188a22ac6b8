import { isPlatformError } from '../../../../internal/platform-error.ts'
import type { RequestContext } from '../../../../registry/index.ts'
import {
  arnParts,
  parseAccountId,
  parseArn,
  parseRepositoryName,
  repositoryArn,
  type AccountId,
  type RepositoryName,
} from '../../../../values/index.ts'
import type { AwsCall } from '../../service.ts'

interface NamesRepository {
  readonly repositoryName: string
}

/**
 * The account whose registry a call works on, as far as its input says: `registryId`, or the owner in the ARN of a
 * resource. Undefined for the caller's own, and where the operation has to refuse what was given.
 */
export function accountOf(input: unknown): AccountId | undefined {
  const { registryId, resourceArn } = input as { readonly registryId?: unknown; readonly resourceArn?: unknown }
  try {
    if (typeof registryId === 'string') return parseAccountId(registryId)
    const owner = typeof resourceArn === 'string' ? arnParts(parseArn(resourceArn)).accountId : undefined
    return owner === 'aws' ? undefined : owner
  } catch (error) {
    if (isPlatformError(error, 'arn-invalid')) return undefined
    throw error
  }
}

/** The ARN of the repository that an input names. */
export function repositoryResource(input: NamesRepository, call: AwsCall): string {
  const { region, accountId } = call.context.registry
  return repositoryArn(region, accountId, parseRepositoryName(input.repositoryName))
}

/** All repositories of the registry that a call works on, in the form in which IAM policies name them. */
export function everyRepositoryResource(call: AwsCall): string {
  const { region, accountId } = call.context.registry
  return `arn:aws:ecr:${region}:${accountId}:repository/*`
}

/** What to work on, after the call was authorised. */
export function targetOf(input: NamesRepository, call: AwsCall): { context: RequestContext; name: RepositoryName } {
  return { context: call.context, name: parseRepositoryName(input.repositoryName) }
}
