import type { CommandContext } from '../../storage/metadata/command.ts'
import { findOidcProviderRow, oidcProvidersOf, type OidcProviderRow } from '../../storage/metadata/stores/oidc-provider-store.ts'
import { oidcProviderArn, type AccountId } from '../../values/index.ts'
import type { Tag } from '../commands/entity-tags.ts'
import * as commands from '../commands/oidc-providers.ts'
import type { OidcProviderChange } from '../commands/oidc-providers.ts'
import type { DirectoryDependencies } from './dependencies.ts'

/** An OpenID Connect provider. `url` is without its scheme, which is always https. */
export interface OidcProvider {
  readonly url: string
  readonly arn: string
  /** The audiences that its tokens may be for. */
  readonly clientIds: readonly string[]
  readonly thumbprints: readonly string[]
  readonly createdAt: number
}

/** The identity providers whose tokens the roles of an account may trust. As `Entities`. */
export class OidcProviders {
  readonly #deps: DirectoryDependencies

  constructor(deps: DirectoryDependencies) {
    this.#deps = deps
  }

  /** Throws `entity-exists`, `iam-limit-exceeded`. */
  async create(
    input: {
      readonly url: string
      readonly clientIds: readonly string[]
      readonly thumbprints: readonly string[]
      readonly tags: readonly Tag[]
    },
    context: CommandContext,
  ): Promise<OidcProvider> {
    return toProvider(await this.#deps.database.execute(commands.createOidcProvider, input, context))
  }

  /** Throws `entity-unknown`. */
  async get(accountId: AccountId, arn: string): Promise<OidcProvider> {
    const url = requiredUrl(arn, accountId)
    const row = await findOidcProviderRow(this.#deps.database.reader, accountId, url)
    if (!row) throw commands.oidcProviderUnknown(arn)
    return toProvider(row)
  }

  /** By URL: a hundred at most. */
  async list(accountId: AccountId): Promise<readonly OidcProvider[]> {
    return (await oidcProvidersOf(this.#deps.database.reader, accountId)).map(toProvider)
  }

  /** `action` is the call's name. Throws `entity-unknown`, `iam-limit-exceeded`. */
  async update(arn: string, change: OidcProviderChange, action: string, context: CommandContext): Promise<void> {
    const url = requiredUrl(arn, context.accountId as AccountId)
    await this.#deps.database.execute(commands.updateOidcProvider, { action, url, change }, context)
  }

  /** Throws `entity-unknown`. */
  async remove(arn: string, context: CommandContext): Promise<void> {
    const url = requiredUrl(arn, context.accountId as AccountId)
    await this.#deps.database.execute(commands.deleteOidcProvider, { url }, context)
  }
}

/** The URL of a provider of the account in an ARN of its own; undefined for every other text. */
export function oidcProviderUrlIn(arn: string, accountId: AccountId): string | undefined {
  const prefix = oidcProviderArn(accountId, '')
  return arn.startsWith(prefix) && arn.length > prefix.length ? arn.slice(prefix.length) : undefined
}

function requiredUrl(arn: string, accountId: AccountId): string {
  const url = oidcProviderUrlIn(arn, accountId)
  if (url === undefined) throw commands.oidcProviderUnknown(arn)
  return url
}

function toProvider(row: OidcProviderRow): OidcProvider {
  return {
    url: row.url,
    arn: oidcProviderArn(row.account_id as AccountId, row.url),
    clientIds: JSON.parse(row.client_ids) as string[],
    thumbprints: JSON.parse(row.thumbprints) as string[],
    createdAt: row.created_at,
  }
}
