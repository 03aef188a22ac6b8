import type { LogPlace } from '../../../../logs/index.ts'
import { groupUnknown, logsError } from '../../../../logs/errors.ts'

/** As `logGroupArn`, and where tags are concerned. */
export function groupArn({ region, accountId }: LogPlace, group: string): string {
  return `arn:aws:logs:${region}:${accountId}:log-group:${group}`
}

/**
 * What rights to a group are asked for, so that a policy for `…:log-group:<name>:*` has them, as AWS tells users to write it.
 * https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/iam-access-control-overview-cwl.html
 */
export function groupResource(place: LogPlace, group: string): string {
  return streamArn(place, group, '')
}

export function streamArn(place: LogPlace, group: string, stream: string): string {
  return `${groupArn(place, group)}:log-stream:${stream}`
}

/**
 * The name of a group that is given by its name or its ARN.
 * @throws `log-group-unknown` for one of another account or region, `log-input-invalid` for what is no group
 */
export function groupOf(place: LogPlace, identifier: string): string {
  const [scheme, , service, region, accountId, kind, group = '', ...rest] = identifier.split(':')
  if (scheme !== 'arn') {
    if (identifier.includes(':')) throw notAGroup()
    return identifier
  }
  if (service !== 'logs' || kind !== 'log-group' || group === '' || (rest.length > 0 && rest.join(':') !== '*')) throw notAGroup()
  if (region !== place.region || accountId !== place.accountId) throw groupUnknown()
  return group
}

/** The one group that is named in one way or the other. @throws `log-input-invalid`, `log-group-unknown` */
export function oneGroup(place: LogPlace, { logGroupName, logGroupIdentifier }: { readonly logGroupName?: string | undefined; readonly logGroupIdentifier?: string | undefined }): string {
  if (logGroupName !== undefined && logGroupIdentifier !== undefined) {
    throw logsError('log-input-invalid', 'LogGroup name and LogGroup identifier are mutually exclusive parameters. Please specify only one of these parameters in the request')
  }
  const given = logGroupName ?? logGroupIdentifier
  if (given === undefined) throw logsError('log-input-invalid', 'Either logGroupName or logGroupIdentifier must be specified.')
  return groupOf(place, given)
}

function notAGroup(): Error {
  return logsError('log-input-invalid', 'The identifier is neither the name nor the ARN of a log group.')
}
