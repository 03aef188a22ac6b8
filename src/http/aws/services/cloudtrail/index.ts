import { lookupAttributes, type AuditTrail, type LookupAttribute, type TrailEvent } from '../../../../audit/index.ts'
import type { Keyring } from '../../../../iam/index.ts'
import { AwsError } from '../../errors.ts'
import { operation, type AwsService } from '../../service.ts'
import { integer, list, required, string, structure, timestamp, validationError } from '../../shapes.ts'
import { PageTokens, type ListIdentity } from '../ecr/page-token.ts'

/** CloudTrail's own limit for a page, and what it gives where nothing is asked for. */
const maxPageSize = 50

const lookupAttribute = structure({
  AttributeKey: required(string({ min: 1, max: 64 })),
  AttributeValue: required(string({ min: 1, max: 2000 })),
})

/**
 * AWS CloudTrail, as far as its event history goes: what happened in an account's registry of a region.
 * https://docs.aws.amazon.com/awscloudtrail/latest/APIReference/API_LookupEvents.html
 */
export function createCloudTrailService({ trail, keyring }: { readonly trail: Pick<AuditTrail, 'lookUp'>; readonly keyring: Keyring }): AwsService {
  const pageTokens = new PageTokens(keyring)
  return {
    name: 'cloudtrail',
    protocol: 'json',
    signingName: 'cloudtrail',
    targetPrefix: 'com.amazonaws.cloudtrail.v20131101.CloudTrail_20131101',
    // The SDKs for JavaScript and Go leave the package out.
    otherTargetPrefixes: ['CloudTrail_20131101'],
    invalidInput: validationError('ValidationException'),
    operations: {
      LookupEvents: operation({
        action: 'cloudtrail:LookupEvents',
        resource: () => '*',
        input: structure({
          LookupAttributes: list(lookupAttribute, {}),
          StartTime: timestamp(),
          EndTime: timestamp(),
          EventCategory: string(),
          MaxResults: integer(),
          NextToken: string({ min: 1, max: 4096 }),
        }),
        async handler({ context: { registry } }, input) {
          const { MaxResults: limit = maxPageSize, StartTime: from, EndTime: until } = input
          if (limit < 1 || limit > maxPageSize) throw refusal('InvalidMaxResultsException', `MaxResults must be from 1 to ${maxPageSize}.`)
          if (from !== undefined && until !== undefined && from > until) throw refusal('InvalidTimeRangeException', 'StartTime must not be after EndTime.')
          if (input.EventCategory !== undefined && input.EventCategory !== 'insight') throw refusal('InvalidEventCategoryException', 'The event category can only be insight.')
          if (input.EventCategory !== undefined) throw refusal('UnsupportedOperationException', 'There are no Insights events here: leave EventCategory out.')
          const attribute = attributeOf(input.LookupAttributes ?? [])
          const identity: ListIdentity = ['LookupEvents', registry.accountId, registry.region, attribute?.key ?? '', attribute?.value ?? '', from?.getTime() ?? '', until?.getTime() ?? '']
          const page = await trail.lookUp({
            account: registry.accountId,
            region: registry.region,
            attribute,
            from: from?.getTime(),
            until: until?.getTime(),
            after: positionIn(pageTokens, identity, input.NextToken),
            limit,
          })
          return { Events: page.events.map(describeEvent), NextToken: pageTokens.issue(identity, page.next) }
        },
      }),
    },
  }
}

function attributeOf(given: readonly { readonly AttributeKey: string; readonly AttributeValue: string }[]): { readonly key: LookupAttribute; readonly value: string } | undefined {
  const [first, ...others] = given
  if (first === undefined) return undefined
  if (others.length > 0) throw refusal('InvalidLookupAttributesException', 'Only one lookup attribute can be given.')
  const key = lookupAttributes.find((name) => name === first.AttributeKey)
  if (key === undefined) throw refusal('InvalidLookupAttributesException', `The lookup attributes are ${lookupAttributes.join(', ')}.`)
  const value = first.AttributeValue
  if (key === 'ReadOnly' && value !== 'true' && value !== 'false') throw refusal('InvalidLookupAttributesException', 'The value of ReadOnly is true or false.')
  return { key, value }
}

function positionIn(pageTokens: PageTokens, identity: ListIdentity, token: string | undefined): string | undefined {
  try {
    return pageTokens.read(identity, token)
  } catch (error) {
    if (!(error instanceof AwsError)) throw error
    throw refusal('InvalidNextTokenException', 'The token was not given out for this look-up: its attribute and times must be the same.')
  }
}

function describeEvent({ id, at, name, source, reads, user, keyId, resource, record }: TrailEvent) {
  return {
    EventId: id,
    EventName: name,
    ReadOnly: String(reads),
    AccessKeyId: keyId,
    EventTime: new Date(at),
    EventSource: source,
    Username: user,
    Resources: resource === undefined ? [] : [{ ResourceType: resource.type, ResourceName: resource.name }],
    CloudTrailEvent: JSON.stringify(record),
  }
}

function refusal(type: string, message: string): AwsError {
  return new AwsError(type, message)
}
