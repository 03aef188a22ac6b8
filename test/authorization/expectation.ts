import type { Caller, Unknown } from './callers.ts'
import type { Entry } from './entry.ts'
import type { Answer, MatrixRequest } from './exchange.ts'
import { accountArn, region, repositoryArn, repositoryPlaces, type RepositoryPlace, type ResourcePolicy } from './places.ts'

/** What a cell is about: a repository, or an account for the other subjects. */
export type CellPlace = (RepositoryPlace | { readonly label: string; readonly accountId: string }) & {
  /** Of the registry that it is in. */
  readonly registryPolicy?: ResourcePolicy
}

export type Verdict = 'granted' | 'denied' | 'denied by its owner' | 'unknown key'

/**
 * Whether a caller may do what an operation does, as AWS documents it: a denial in any policy counts most; then, within an
 * account, the word of one side is enough, and between accounts it takes both.
 * https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_evaluation-logic.html
 */
export function verdictOf(entry: Entry, caller: Caller, place: CellPlace): Verdict {
  if (entry.closedToOwnSessions === true && caller.isOwnSession) return 'unknown key'
  if (entry.refuses?.(caller) === true) return 'denied'
  const verdicts = entry.needs.map((action) => {
    if (entry.subject === 'registry') return maySeeSome(action, caller, place) ? 'granted' : 'denied'
    return verdictOnAction(action, entry.resource ?? ('repository' in place ? repositoryArn(place) : '*'), caller, place)
  })
  for (const { action, resource } of entry.needsElsewhere ?? []) verdicts.push(verdictOnAction(action, resource(place.accountId), caller, place))
  return verdicts.find((verdict) => verdict !== 'granted') ?? 'granted'
}

function verdictOnAction(action: string, resource: string, caller: Caller, place: CellPlace): Verdict {
  const policies = [place.registryPolicy, 'policy' in place ? place.policy : undefined].filter((policy) => policy !== undefined)
  if (policies.some(({ denies }) => denies.includes(action))) return 'denied by its owner'
  const byIdentity = caller.may(action, resource)
  const byOwner = policies.some(({ lets }) => lets.actions.includes(action) && [caller.arn, accountArn(caller.accountId)].includes(lets.principal))
  const isGranted = caller.accountId === place.accountId ? byIdentity || byOwner : byIdentity && byOwner
  return isGranted ? 'granted' : 'denied'
}

function mayPull(caller: Caller, accountId: string, repository: string): boolean {
  const place = repositoryPlaces.find((each) => each.accountId === accountId && each.repository === repository)
  return place !== undefined && verdictOnAction('ecr:GetDownloadUrlForLayer', repositoryArn(place), caller, place) === 'granted'
}

/** A listing shows what may be seen of it, and is refused to whom it could show nothing; to strangers, unless all is open to them. */
function maySeeSome(action: string, caller: Caller, place: CellPlace): boolean {
  const { accountId } = place
  if (caller.accountId !== accountId) {
    return verdictOnAction(action, `arn:aws:ecr:${region}:${accountId}:repository/*`, caller, place) === 'granted'
  }
  const own = repositoryPlaces.filter((repository) => repository.accountId === accountId)
  return own.some((repository) => caller.may(action, repositoryArn(repository)))
}

/** How a refusal reads in each protocol. */
const refusals: Readonly<Record<MatrixRequest['protocol'], Readonly<Record<Unknown | 'denied', string>>>> = {
  json: {
    denied: '400 AccessDeniedException',
    anonymous: '400 MissingAuthenticationTokenException',
    'unknown key': '400 UnrecognizedClientException',
    'ended session': '400 ExpiredTokenException',
    'ended token': '',
    'wrong secret': '400 InvalidSignatureException',
  },
  query: {
    denied: '403 AccessDenied',
    anonymous: '403 MissingAuthenticationToken',
    'unknown key': '403 InvalidClientTokenId',
    'ended session': '403 ExpiredToken',
    'ended token': '',
    'wrong secret': '403 SignatureDoesNotMatch',
  },
  oci: {
    denied: '403 DENIED',
    anonymous: '401',
    'unknown key': '401',
    // Docker is told in words to log in again; a challenge would make it show the old login once more.
    'ended session': '403 DENIED',
    'ended token': '403 DENIED',
    'wrong secret': '401',
  },
}

export function expectedAnswer(entry: Entry, request: MatrixRequest, verdict: Verdict | Unknown, caller: Caller, place: CellPlace): string {
  if (verdict !== 'granted') {
    const refusal = refusals[request.protocol][verdict === 'denied by its owner' ? 'denied' : verdict]
    return isHead(request) ? refusal.slice(0, 3) : refusal
  }
  if (entry.mountsFrom !== undefined && mayPull(caller, place.accountId, entry.mountsFrom)) return '201'
  return entry.grantedAt?.[place.label] ?? entry.granted
}

/** An answer in the words of `expectedAnswer`. */
export function seenAnswer(request: MatrixRequest, { status, code }: Answer): string {
  if (code === undefined) return String(status)
  // A modelled failure says all with its name; the status of a refusal is part of what clients rely on.
  const isRefusal = Object.values(refusals[request.protocol]).includes(`${status} ${code}`)
  return request.protocol === 'oci' || isRefusal ? `${status} ${code}` : code
}

function isHead(request: MatrixRequest): boolean {
  return request.protocol === 'oci' && request.method === 'HEAD'
}

/** An answer without what is another each time, and without the names that requests have. */
export function comparable({ status, headers, body }: Answer, ...names: readonly string[]): string {
  const ids = Object.entries(headers)
    .filter(([name]) => /request-?id$/i.test(name))
    .map(([, value]) => String(value))
  const kept = Object.entries(headers).filter(([name]) => !/request-?id$|^date$/i.test(name))
  let text = JSON.stringify({ status, headers: kept, body })
  for (const id of ids) text = text.replaceAll(id, '<request id>')
  for (const name of names) text = text.replaceAll(name, '<name>')
  return text.replace(/"content-length","\d+"/, '')
}
