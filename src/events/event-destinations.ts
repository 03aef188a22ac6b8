import type { Keyring } from '../iam/index.ts'
import type { IdSource } from '../internal/ids.ts'
import { commandContext, type RequestContext } from '../registry/context.ts'
import { toPage } from '../registry/paging.ts'
import type { Page } from '../registry/types.ts'
import type { MetadataDatabase } from '../storage/metadata/database.ts'
import { listEventDestinations, type EventDestinationRow } from '../storage/metadata/stores/event-rule-store.ts'
import { createDestination, deleteDestination, updateDestination } from './commands/destinations.ts'
import { newSigningSecret, parseSigningSecret, sealSigningSecret } from './delivery/signature.ts'
import { eventsError } from './errors.ts'

/** A webhook; its secret is shown to whoever made it, once. */
export interface EventDestination extends Pick<EventDestinationRow, 'name' | 'url' | 'description' | 'createdAt' | 'createdBy'> {
  readonly secret?: string
}

const maxUrlLength = 2048

/** Webhooks that targets send to. */
export class EventDestinations {
  readonly #database: MetadataDatabase
  readonly #keyring: Keyring
  readonly #ids: IdSource

  constructor(deps: { readonly database: MetadataDatabase; readonly keyring: Keyring; readonly ids: IdSource }) {
    this.#database = deps.database
    this.#keyring = deps.keyring
    this.#ids = deps.ids
  }

  /**
   * @param secret what bodies are signed with, `whsec_…`; one is made up where it is undefined, and shown in the answer
   * @throws `event-input-invalid`, `event-destination-exists`, `event-limit-exceeded`
   */
  async create(context: RequestContext, settings: { name: string; url: string; description: string | undefined; secret: string | undefined }): Promise<EventDestination> {
    const { name } = settings
    const url = requireUrl(settings.url)
    const description = settings.description ?? null
    const { secret, secretSealed } = this.#secret(context, name, settings.secret)
    await this.#database.execute(createDestination, { name, url, description, secretSealed }, commandContext(context))
    return { name, url, description, createdAt: context.clock.now(), createdBy: context.actor.arn, ...(settings.secret === undefined && { secret }) }
  }

  /**
   * What is undefined stays. `secret` is another one from now on, `newSecret` one that is made up and shown in the answer.
   * @throws `event-input-invalid`, `event-resource-unknown`
   */
  async update(context: RequestContext, settings: { name: string; url: string | undefined; description: string | undefined; secret: string | undefined; newSecret: boolean }): Promise<EventDestination> {
    const { name, description } = settings
    const url = settings.url === undefined ? undefined : requireUrl(settings.url)
    const sealed = settings.secret === undefined && !settings.newSecret ? undefined : this.#secret(context, name, settings.secret)
    const row = await this.#database.execute(updateDestination, { name, url, description, secretSealed: sealed?.secretSealed }, commandContext(context))
    return { ...shown(row), ...(settings.newSecret && settings.secret === undefined && sealed !== undefined && { secret: sealed.secret }) }
  }

  /** Throws `event-resource-unknown`, `event-destination-in-use`. */
  async delete(context: RequestContext, name: string): Promise<void> {
    await this.#database.execute(deleteDestination, { name }, commandContext(context))
  }

  /** By name. */
  async list(context: RequestContext, page: { readonly limit: number; readonly after: string | undefined }): Promise<Page<EventDestination>> {
    const rows = await listEventDestinations(this.#database.reader, context.registry.id, page.after ?? '', page.limit + 1)
    return toPage(rows, page.limit, shown, ({ name }) => name)
  }

  #secret({ registry }: RequestContext, name: string, given: string | undefined): { secret: string; secretSealed: string } {
    const secret = given ?? newSigningSecret(this.#ids)
    parseSigningSecret(secret)
    return { secret, secretSealed: sealSigningSecret(this.#keyring, { ...registry, name }, secret) }
  }
}

function shown({ name, url, description, createdAt, createdBy }: EventDestinationRow): EventDestination {
  return { name, url, description, createdAt, createdBy }
}

/** In the form in which it is asked. */
function requireUrl(text: string): string {
  const url = text.length > maxUrlLength ? null : URL.parse(text)
  if (url === null || url.protocol !== 'https:' || url.username !== '' || url.password !== '' || url.hash !== '') {
    throw eventsError('event-input-invalid', `The address of an event destination is an https URL of ${maxUrlLength} characters at most, without a user, a password or a fragment.`)
  }
  return url.href
}
