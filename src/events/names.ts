import { eventsError } from './errors.ts'

/** The only bus there is: what happens in a registry is told on it. */
export const defaultBus = 'default'

interface Place {
  readonly region: string
  readonly accountId: string
}

export function busArn({ region, accountId }: Place): string {
  return `arn:aws:events:${region}:${accountId}:event-bus/${defaultBus}`
}

export function ruleArn({ region, accountId }: Place, name: string): string {
  return `arn:aws:events:${region}:${accountId}:rule/${name}`
}

/** What a target that is a log group is kept as: the part of its ARN that names it, which no webhook can be called. */
const logGroupPrefix = 'log-group:'

export function isLogGroup(destinationName: string): boolean {
  return destinationName.startsWith(logGroupPrefix)
}

/** The group's name; its ARN may end with `:*`. */
export function logGroupOf(destinationName: string): string {
  return destinationName.slice(logGroupPrefix.length).replace(/:\*$/u, '')
}

export function destinationArn({ region, accountId }: Place, name: string): string {
  return isLogGroup(name) ? `arn:aws:logs:${region}:${accountId}:${name}` : `arn:aws:events:${region}:${accountId}:api-destination/${name}`
}

/** Only the default bus is there. @throws `event-resource-unknown` */
export function requireDefaultBus(place: Place, given: string | undefined): void {
  if (given === undefined || given === defaultBus || given === busArn(place)) return
  throw eventsError('event-resource-unknown', `Event bus ${given.slice(0, 300)} does not exist.`)
}

/**
 * The name of the webhook or the log group that a target's ARN stands for. Amazon's ARNs of webhooks end with a number of the
 * destination's own, which has no meaning here and is not asked for. Undefined: one of another account or region.
 *
 * @throws `event-input-invalid` for everything else
 */
export function destinationNameOf(place: Place, arn: string): string | undefined {
  const [scheme, , service, region, accountId, ...rest] = arn.split(':')
  const resource = rest.join(':')
  if (scheme !== 'arn' || service === undefined || resource === '') {
    throw eventsError('event-input-invalid', `Parameter ${arn.slice(0, 300)} is not valid. Reason: Provided Arn is not in correct format.`)
  }
  const name = nameIn(service, resource)
  if (name === undefined) {
    throw eventsError(
      'event-input-invalid',
      `Parameter ${arn.slice(0, 300)} is not valid. Reason: This kind of target is not served. Stowage sends events to webhooks, made with "stowage events destination create", and to log groups: give the ARN of one.`,
    )
  }
  return region === place.region && accountId === place.accountId ? name : undefined
}

function nameIn(service: string, resource: string): string | undefined {
  if (service === 'events') return /^api-destination\/([\w.-]+)$/u.exec(resource)?.[1]
  return service === 'logs' && /^log-group:[.\-_/#A-Za-z0-9]{1,512}(?::\*)?$/u.test(resource) ? resource : undefined
}
