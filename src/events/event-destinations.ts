import type { Keyring } from '../iam/index.ts'
import type { IdSource } from '../internal/ids.ts'
import { commandContext, type RequestContext } from '../registry/context.ts'
import { toPage } from '../registry/paging.ts'
import type { Page } from '../registry/types.ts'
import type { MetadataDatabase } from '../storage/metadata/database.ts'
import { findEventDestination, listEventDestinations, type EventDestinationRow } from '../storage/metadata/stores/event-rule-store.ts'
import { createDestination, deleteDestination, updateDestination } from './commands/destinations.ts'
import { isMailUrl, parseMailUrl } from './delivery/mail-address.ts'
import { newSigningSecret, parseSigningSecret, sealMailPassword, sealSigningSecret } from './delivery/signature.ts'
import { eventsError } from './errors.ts'

/** A webhook or mail; a webhook's secret is shown to whoever made it, once. */
export interface EventDestination extends Pick<EventDestinationRow, 'name' | 'url' | 'description' | 'createdAt' | 'createdBy'> {
  readonly secret?: string
}

const maxUrlLength = 2048

/** Webhooks and mail that targets send to. */
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
   * @param secret of a webhook what bodies are signed with, `whsec_…`; one is made up where it is undefined, and shown in the answer.
   *   Of mail the password of the user that the URL names
   * @throws `event-input-invalid`, `event-destination-exists`, `event-limit-exceeded`
   */
  async create(context: RequestContext, settings: { name: string; url: string; description: string | undefined; secret: string | undefined }): Promise<EventDestination> {
    const { name } = settings
    const url = requireUrl(settings.url)
    const description = settings.description ?? null
    const { shownSecret, secretSealed } = isMailUrl(url)
      ? { shownSecret: undefined, secretSealed: this.#password(context, name, url, settings.secret) }
      : this.#secret(context, name, settings.secret)
    await this.#database.execute(createDestination, { name, url, description, secretSealed }, commandContext(context))
    return { name, url, description, createdAt: context.clock.now(), createdBy: context.actor.arn, ...(shownSecret !== undefined && { secret: shownSecret }) }
  }

  /**
   * What is undefined stays. `secret` is another one from now on, `newSecret` one that is made up and shown in the answer. Mail stays
   * mail, and another URL of it needs the password again: it is for the server and the user that it was given for.
   * @throws `event-input-invalid`, `event-resource-unknown`
   */
  async update(context: RequestContext, settings: { name: string; url: string | undefined; description: string | undefined; secret: string | undefined; newSecret: boolean }): Promise<EventDestination> {
    const { name, description, secret, newSecret } = settings
    const url = settings.url === undefined ? undefined : requireUrl(settings.url)
    const existing = await findEventDestination(this.#database.reader, context.registry.id, name)
    const isMail = existing !== undefined && isMailUrl(existing.url)
    if (existing !== undefined && url !== undefined && isMailUrl(url) !== isMail) throw eventsError('event-input-invalid', 'A webhook does not become mail, nor mail a webhook: make another destination.')
    if (isMail && newSecret) throw eventsError('event-input-invalid', 'The password of mail is not made up here: give it.')
    const sealed = isMail
      ? url === undefined && secret === undefined
        ? undefined
        : { shownSecret: undefined, secretSealed: this.#password(context, name, url ?? existing.url, secret) }
      : secret === undefined && !newSecret
        ? undefined
        : this.#secret(context, name, secret)
    const row = await this.#database.execute(updateDestination, { name, url, description, secretSealed: sealed?.secretSealed }, commandContext(context))
    return { ...shown(row), ...(sealed?.shownSecret !== undefined && { secret: sealed.shownSecret }) }
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

  #secret({ registry }: RequestContext, name: string, given: string | undefined): { shownSecret: string | undefined; secretSealed: string } {
    const secret = given ?? newSigningSecret(this.#ids)
    parseSigningSecret(secret)
    return { shownSecret: given === undefined ? secret : undefined, secretSealed: sealSigningSecret(this.#keyring, { ...registry, name }, secret) }
  }

  /** Empty where nobody logs in. */
  #password({ registry }: RequestContext, name: string, url: string, given: string | undefined): string {
    const { user } = parseMailUrl(url)
    if ((user === undefined) !== (given === undefined)) {
      throw eventsError('event-input-invalid', user === undefined ? 'The URL names no user that the password would be of.' : 'The URL names a user: give the password as the secret.')
    }
    return given === undefined ? '' : sealMailPassword(this.#keyring, { ...registry, name }, given)
  }
}

function shown({ name, url, description, createdAt, createdBy }: EventDestinationRow): EventDestination {
  return { name, url, description, createdAt, createdBy }
}

/** In the form in which it is asked. */
function requireUrl(text: string): string {
  if (isMailUrl(text) && text.length <= maxUrlLength) {
    parseMailUrl(text)
    return new URL(text).href
  }
  const url = text.length > maxUrlLength ? null : URL.parse(text)
  if (url === null || url.protocol !== 'https:' || url.username !== '' || url.password !== '' || url.hash !== '') {
    throw eventsError('event-input-invalid', `The address of an event destination is an https URL of ${maxUrlLength} characters at most, without a user, a password or a fragment, or of mail smtp[s]://….`)
  }
  return url.href
}
