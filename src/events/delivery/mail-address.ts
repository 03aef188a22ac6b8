import { eventsError } from '../errors.ts'

/** Where mail goes, as the URL of a destination says. */
export interface MailAddress {
  /** In lower case. */
  readonly host: string
  readonly port: number
  /** `tls`: from the first byte; `starttls`: before anything is said; `if-offered`: where the server has it. */
  readonly encryption: 'tls' | 'starttls' | 'if-offered'
  /** Whom to log in as; the password is the destination's secret. */
  readonly user: string | undefined
  readonly from: string
  readonly to: readonly string[]
}

const mostReceivers = 20
/** The part of RFC 5321's form that people have. */
const mailbox = /^[\w.!#$%&'*+/=?^`{|}~-]{1,64}@(?=.{1,255}$)[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?(?:\.[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?)*$/u

/** Whether an address stands for mail and not for a webhook. */
export function isMailUrl(url: string): boolean {
  return /^smtps?:/iu.test(url)
}

/**
 * Reads `smtp://user@mail.example.com:587?from=registry@example.com&to=ops@example.com`, `smtps://` for TLS from the first byte.
 *
 * @throws `event-input-invalid`
 */
export function parseMailUrl(text: string): MailAddress {
  const url = URL.parse(text)
  if (url === null || (url.protocol !== 'smtp:' && url.protocol !== 'smtps:')) throw invalid('it is no URL')
  if (url.password !== '') throw invalid('a password is given as the secret, and not in the URL')
  const host = url.hostname.toLowerCase()
  if (!/^(?:[a-z0-9.-]{1,253}|\[[0-9a-f:.]+\])$/u.test(host)) throw invalid('it has no host')
  if ((url.pathname !== '' && url.pathname !== '/') || url.hash !== '') throw invalid('it has a path or a fragment')
  const known = new Set(['from', 'to', 'starttls'])
  for (const name of url.searchParams.keys()) if (!known.has(name)) throw invalid(`'${name.slice(0, 40)}' is not known`)
  const [from, ...others] = url.searchParams.getAll('from')
  if (from === undefined || others.length > 0 || !mailbox.test(from)) throw invalid('from is one mail address')
  const to = url.searchParams.getAll('to').flatMap((list) => list.split(','))
  if (to.length === 0 || to.length > mostReceivers || !to.every((each) => mailbox.test(each))) throw invalid(`to is one to ${mostReceivers} mail addresses`)
  const starttls = url.searchParams.get('starttls') ?? 'required'
  if ((starttls !== 'required' && starttls !== 'if-offered') || (url.protocol === 'smtps:' && url.searchParams.has('starttls'))) throw invalid('starttls is required or if-offered, and not for smtps')
  let user: string | undefined
  try {
    user = url.username === '' ? undefined : decodeURIComponent(url.username)
  } catch {
    throw invalid('the user cannot be read')
  }
  if (user !== undefined && starttls === 'if-offered') throw invalid('who logs in needs encryption: starttls=if-offered is for servers that take mail without')
  const encryption = url.protocol === 'smtps:' ? 'tls' : starttls === 'required' ? 'starttls' : 'if-offered'
  return { host, port: url.port === '' ? (encryption === 'tls' ? 465 : 587) : Number(url.port), encryption, user, from, to }
}

function invalid(reason: string): Error {
  return eventsError('event-input-invalid', `The address of mail is smtp[s]://[user@]host[:port]?from=…&to=…: ${reason}.`)
}
