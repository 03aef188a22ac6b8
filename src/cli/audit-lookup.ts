import { exitCodes } from '../config/exit-codes.ts'
import type { AwsOptions } from './aws/settings.ts'
import { connectToStowage, isoTime, jsonText, tableText } from './aws/stowage-calls.ts'
import type { CommandIo } from './command-io.ts'

interface LookUpOptions extends AwsOptions {
  readonly json: boolean
}

/** As CloudTrail answers it; times are seconds since the Unix epoch. */
interface TrailEvent {
  readonly EventId: string
  readonly EventName: string
  readonly EventTime: number
  readonly Username?: string
  readonly Resources: readonly { readonly ResourceName: string }[]
  /** JSON. */
  readonly CloudTrailEvent: string
}

/** As much as one page has. */
const maxPageSize = 50

export async function listRecords(
  io: CommandIo,
  options: LookUpOptions & { readonly attribute: readonly [name: string, value: string] | undefined; readonly since: Date | undefined; readonly until: Date | undefined; readonly limit: number },
): Promise<number> {
  const { attribute, since, until, limit } = options
  const call = await connectToStowage(options, 'cloudtrail')
  const events: TrailEvent[] = []
  let token: string | undefined
  do {
    const answer: { Events: readonly TrailEvent[]; NextToken?: string } = await call('LookupEvents', {
      LookupAttributes: attribute && [{ AttributeKey: attribute[0], AttributeValue: attribute[1] }],
      StartTime: since && since.getTime() / 1000,
      EndTime: until && until.getTime() / 1000,
      MaxResults: Math.min(maxPageSize, limit - events.length),
      NextToken: token,
    })
    events.push(...answer.Events)
    token = answer.NextToken
  } while (token !== undefined && events.length < limit)
  if (options.json) io.stdout.write(jsonText(events.map(recordOf)))
  else {
    io.stdout.write(tableText(['time', 'event', 'by', 'resource', 'outcome', 'id'], events.map(rowOf)))
    if (token !== undefined) io.stdout.write(`There are more: ask with --limit, or for a time with --since and --until.\n`)
  }
  return exitCodes.ok.code
}

/** Exit code 8 where there is no such record. */
export async function showRecord(io: CommandIo, options: LookUpOptions & { readonly eventId: string }): Promise<number> {
  const call = await connectToStowage(options, 'cloudtrail')
  const answer = await call<{ Events: readonly TrailEvent[] }>('LookupEvents', { LookupAttributes: [{ AttributeKey: 'EventId', AttributeValue: options.eventId }] })
  const [event] = answer.Events
  if (event === undefined) {
    io.stderr.write('There is no such record of this registry: not yet, not any more, or in another registry.\n')
    return exitCodes.findings.code
  }
  io.stdout.write(jsonText(recordOf(event)))
  return exitCodes.ok.code
}

function recordOf({ CloudTrailEvent: text }: TrailEvent): Readonly<Record<string, unknown>> {
  return JSON.parse(text) as Readonly<Record<string, unknown>>
}

function rowOf(event: TrailEvent): string[] {
  const { EventId: id, EventName: name, EventTime: at, Username: user = '', Resources: resources } = event
  const { errorCode } = recordOf(event)
  return [isoTime(at), name, user, resources.map(({ ResourceName: resource }) => resource).join(', '), typeof errorCode === 'string' ? errorCode : 'ok', id]
}

/** As the service answers it; times are seconds since the Unix epoch. */
interface TagEntry {
  readonly eventId: string
  readonly changedAt: number
  readonly action: string
  readonly imageDigest?: string
  readonly previousImageDigest?: string
  readonly changedBy: string
  readonly sourceIpAddress: string
  readonly userAgent: string
}

interface TagHistoryAnswer {
  readonly tagHistory: readonly TagEntry[]
  readonly state?: { readonly source: 'RECORDED' | 'DEDUCED' | 'UNKNOWN'; readonly imageDigest?: string; readonly change?: TagEntry }
  readonly trailBeginsAt?: number
  readonly oldRecordsRemoved: boolean
  readonly trailIsOn: boolean
  readonly nextToken?: string
}

/** Changes that are shown of a tag; where it has more, the newest. */
const mostShown = 1000

/** Exit code 8 where the trail does not tell. */
export async function showTagHistory(io: CommandIo, options: LookUpOptions & { readonly repository: string; readonly tag: string; readonly at: Date | undefined }): Promise<number> {
  const { repository, tag, at } = options
  const call = await connectToStowage(options)
  const entries: TagEntry[] = []
  let answer: TagHistoryAnswer | undefined
  do {
    const page: TagHistoryAnswer = await call('ListTagHistory', {
      repositoryName: repository,
      imageTag: tag,
      at: at && at.getTime() / 1000,
      maxResults: at === undefined ? undefined : 1,
      nextToken: answer?.nextToken,
    })
    entries.push(...page.tagHistory)
    answer = page
  } while (at === undefined && answer.nextToken !== undefined && entries.length < mostShown)
  const { state } = answer
  const isKnown = state === undefined ? entries.length > 0 : state.source !== 'UNKNOWN'
  if (options.json) {
    const reach = { trailBeginsAt: answer.trailBeginsAt === undefined ? null : isoTime(answer.trailBeginsAt), oldRecordsRemoved: answer.oldRecordsRemoved, trailIsOn: answer.trailIsOn }
    const shown = state === undefined ? { tagHistory: entries.map(forPeople) } : { state: { ...state, change: state.change && forPeople(state.change) } }
    io.stdout.write(jsonText({ ...shown, ...reach }))
  } else {
    if (at !== undefined && state !== undefined) io.stdout.write(stateText(`${repository}:${tag}`, at, state))
    else if (entries.length > 0) io.stdout.write(tableText(['since', 'image', 'by', 'event', 'record'], entries.map(entryRow)))
    else io.stdout.write(`The trail has no record of ${repository}:${tag}.\n`)
    if (answer.nextToken !== undefined && at === undefined) io.stdout.write(`There are older ones: only ${entries.length} are shown.\n`)
    io.stdout.write(reachText(answer))
  }
  return isKnown ? exitCodes.ok.code : exitCodes.findings.code
}

function stateText(image: string, at: Date, { source, imageDigest, change }: NonNullable<TagHistoryAnswer['state']>): string {
  const named = imageDigest === undefined ? 'named no image' : `was ${imageDigest}`
  if (source === 'UNKNOWN' || change === undefined) return `Nobody can say what ${image} was at ${at.toISOString()}: the trail has no record of the tag by then.\n`
  const { changedAt, changedBy, action, eventId } = change
  const by = `${changedBy} (${action}, record ${eventId})`
  if (source === 'RECORDED') return `${image} ${named} at ${at.toISOString()}.\nSo it was since ${isoTime(changedAt)}, by ${by}.\n`
  return `${image} ${named} at ${at.toISOString()}.\nThere is no record of how it came to be so: the next change, at ${isoTime(changedAt)} by ${by}, tells what was until then.\n`
}

function reachText({ trailBeginsAt, oldRecordsRemoved, trailIsOn }: TagHistoryAnswer): string {
  const begins = trailBeginsAt === undefined ? 'The trail has no records.' : `The trail tells what happened since ${isoTime(trailBeginsAt)}${oldRecordsRemoved ? '; older records were removed for their age' : ''}.`
  return `${begins}${trailIsOn ? '' : ' It is off now: what happens is told when it is on again.'}\n`
}

function entryRow({ changedAt, imageDigest, changedBy, action, eventId }: TagEntry): string[] {
  return [isoTime(changedAt), imageDigest ?? '(none)', changedBy, action, eventId]
}

function forPeople({ changedAt, ...rest }: TagEntry): object {
  return { ...rest, changedAt: isoTime(changedAt) }
}
