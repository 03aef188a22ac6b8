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

export function destinationArn({ region, accountId }: Place, name: string): string {
  return `arn:aws:events:${region}:${accountId}:api-destination/${name}`
}

/** Only the default bus is there. @throws `event-resource-unknown` */
export function requireDefaultBus(place: Place, given: string | undefined): void {
  if (given === undefined || given === defaultBus || given === busArn(place)) return
  throw eventsError('event-resource-unknown', `Event bus ${given.slice(0, 300)} does not exist.`)
}

/**
 * The name of the webhook that a target's ARN stands for. Amazon's ARNs end with a number of the destination's own, which has no
 * meaning here and is not asked for. Undefined: one of another account or region.
 *
 * @throws `event-input-invalid` for everything that is no webhook
 */
export function destinationNameOf(place: Place, arn: string): string | undefined {
  const [scheme, , service, region, accountId, ...rest] = arn.split(':')
  const resource = rest.join(':')
  if (scheme !== 'arn' || service === undefined || resource === '') {
    throw eventsError('event-input-invalid', `Parameter ${arn.slice(0, 300)} is not valid. Reason: Provided Arn is not in correct format.`)
  }
  const name = service === 'events' ? /^api-destination\/([\w.-]+)$/u.exec(resource)?.[1] : undefined
  if (name === undefined) {
    const here = `Stowage sends events to webhooks only: make one with "stowage events destination create" and give its ARN.`
    const what = service === 'logs' ? 'Log groups are not served as targets.' : 'This kind of target is not served.'
    throw eventsError('event-input-invalid', `Parameter ${arn.slice(0, 300)} is not valid. Reason: ${what} ${here}`)
  }
  return region === place.region && accountId === place.accountId ? name : undefined
}
