import { isIPv6 } from 'node:net'
import { countedEcrCalls } from '../config/index.ts'
import { otherValue, ownNamespace, registryOfMetrics, usageDimensions } from '../metrics/metric-names.ts'
import { derivedLimits } from '../metrics/series-limits.ts'
import { addPoints, dimensionsText, rememberSeries, type RememberedSeries, type Addition, type Dimension, type SeriesLimits, type StatisticSet } from '../storage/metadata/observe/metric-store.ts'
import type { Session } from '../storage/metadata/session.ts'
import type { RecordedActor } from './journal-record.ts'
import { isChangeBody, type RequestBody, type TrailBody } from './trail-record.ts'

/** The calls of which Amazon ECR tells how many there were (user guide, "Amazon ECR usage metrics"). */
const countedCalls: ReadonlySet<string> = new Set(countedEcrCalls)

const ecr = 'ecr.amazonaws.com'
const throttled = /throttl|toomanyrequests|limitexceeded|slowdown/iu

/** AWS JSON answers 400 where other protocols say 401, 403 and 429. */
const refused = /^(?:AccessDenied|UnrecognizedClient|InvalidClientTokenId|InvalidSignature|IncompleteSignature|SignatureDoesNotMatch|MissingAuthenticationToken|ExpiredToken|Throttling)/u

const minuteMs = 60_000

class Statistic implements StatisticSet {
  samples = 0
  total = 0
  low = Number.POSITIVE_INFINITY
  high = Number.NEGATIVE_INFINITY

  add(value: number): void {
    this.samples += 1
    this.total += value
    if (value < this.low) this.low = value
    if (value > this.high) this.high = value
  }
}

class ByName {
  readonly statistics = new Map<string, Statistic>()

  add(name: string, value: number): void {
    let statistic = this.statistics.get(name)
    if (statistic === undefined) this.statistics.set(name, (statistic = new Statistic()))
    statistic.add(value)
  }
}

/** What there was in a minute in a registry. */
class Tally {
  readonly registry: string
  readonly at: number
  readonly latency = new Statistic()
  readonly latencyOf = new ByName()
  readonly clientErrors = new Statistic()
  readonly serverErrors = new Statistic()
  readonly throttled = new Statistic()
  readonly bytesIn = new Statistic()
  readonly bytesOut = new Statistic()
  readonly pushes = new Statistic()
  readonly pushesTo = new ByName()
  readonly pushesByPrincipal = new ByName()
  readonly pushesByNetwork = new ByName()
  readonly deletes = new Statistic()
  readonly deletesByPrincipal = new ByName()
  readonly deletesByNetwork = new ByName()
  readonly refusals = new Statistic()
  readonly refusalsByPrincipal = new ByName()
  readonly refusalsByNetwork = new ByName()
  readonly pulls = new Statistic()
  readonly pullsFrom = new ByName()
  readonly pullsByKind = new ByName()
  readonly pullsByPrincipal = new ByName()
  readonly pullsByNetwork = new ByName()
  readonly calls = new ByName()

  constructor(registry: string, at: number) {
    this.registry = registry
    this.at = at
  }

  add(body: RequestBody): void {
    const { status, ms, name, error, repository, pulls = 0, bytesIn = 0, bytesOut = 0 } = body
    this.latency.add(ms)
    this.latencyOf.add(name, ms)
    // As of S3: 0 or 1 for each request, so that the average is a rate.
    this.clientErrors.add(status >= 400 && status < 500 ? 1 : 0)
    this.serverErrors.add(status >= 500 ? 1 : 0)
    this.throttled.add(status === 429 || (error !== undefined && throttled.test(error)) ? 1 : 0)
    if (bytesIn > 0) this.bytesIn.add(bytesIn)
    if (bytesOut > 0) this.bytesOut.add(bytesOut)
    if (status === 401 || status === 403 || status === 429 || (error !== undefined && refused.test(error))) {
      this.refusals.add(1)
      this.refusalsByPrincipal.add(principalName(body.actor), 1)
      this.refusalsByNetwork.add(networkOf(body.ip), 1)
    }
    if (body.source !== ecr) return
    if (countedCalls.has(name)) this.calls.add(name, 1)
    if (repository === undefined) return
    if (name === 'PutImage' && status < 300 && error === undefined) {
      this.pushes.add(1)
      this.pushesTo.add(repository, 1)
      this.pushesByPrincipal.add(principalName(body.actor), 1)
      this.pushesByNetwork.add(networkOf(body.ip), 1)
    }
    const deletes = deletesOf(body)
    if (deletes > 0) {
      this.deletes.add(deletes)
      this.deletesByPrincipal.add(principalName(body.actor), deletes)
      this.deletesByNetwork.add(networkOf(body.ip), deletes)
    }
    if (pulls === 0) return
    this.pulls.add(pulls)
    this.pullsFrom.add(repository, pulls)
    this.pullsByKind.add(body.client ?? 'person', pulls)
    this.pullsByPrincipal.add(principalName(body.actor), pulls)
    this.pullsByNetwork.add(networkOf(body.ip), pulls)
  }

  additions(): Addition[] {
    const { registry, at } = this
    const found: Addition[] = []
    const put = (namespace: string, name: string, unit: string, set: StatisticSet, dimensions: readonly Dimension[] = []): void => {
      if (set.samples > 0) found.push({ registry, at, namespace, name, unit, set, dimensions: dimensionsText(dimensions) })
    }
    const putEach = (namespace: string, name: string, unit: string, { statistics }: ByName, dimension: string): void => {
      const otherwise = dimensionsText([[dimension, otherValue]])
      for (const [value, set] of statistics) found.push({ registry, at, namespace, name, unit, set, dimensions: dimensionsText([[dimension, value]]), otherwise })
    }
    put(ownNamespace, 'RequestLatency', 'Milliseconds', this.latency)
    putEach(ownNamespace, 'RequestLatency', 'Milliseconds', this.latencyOf, 'Operation')
    put(ownNamespace, '4xxErrors', 'Count', this.clientErrors)
    put(ownNamespace, '5xxErrors', 'Count', this.serverErrors)
    put(ownNamespace, 'ThrottledRequests', 'Count', this.throttled)
    put(ownNamespace, 'BytesIn', 'Bytes', this.bytesIn)
    put(ownNamespace, 'BytesOut', 'Bytes', this.bytesOut)
    put(ownNamespace, 'PushCount', 'Count', this.pushes)
    putEach(ownNamespace, 'PushCount', 'Count', this.pushesTo, 'RepositoryName')
    putEach(ownNamespace, 'PushCount', 'Count', this.pushesByPrincipal, 'Principal')
    putEach(ownNamespace, 'PushCount', 'Count', this.pushesByNetwork, 'SourceNetwork')
    put(ownNamespace, 'DeleteCount', 'Count', this.deletes)
    putEach(ownNamespace, 'DeleteCount', 'Count', this.deletesByPrincipal, 'Principal')
    putEach(ownNamespace, 'DeleteCount', 'Count', this.deletesByNetwork, 'SourceNetwork')
    put(ownNamespace, 'RefusedRequests', 'Count', this.refusals)
    putEach(ownNamespace, 'RefusedRequests', 'Count', this.refusalsByPrincipal, 'Principal')
    putEach(ownNamespace, 'RefusedRequests', 'Count', this.refusalsByNetwork, 'SourceNetwork')
    put(ownNamespace, 'PullCount', 'Count', this.pulls)
    putEach(ownNamespace, 'PullCount', 'Count', this.pullsByKind, 'ClientKind')
    putEach(ownNamespace, 'PullCount', 'Count', this.pullsByPrincipal, 'Principal')
    putEach(ownNamespace, 'PullCount', 'Count', this.pullsByNetwork, 'SourceNetwork')
    putEach('AWS/ECR', 'RepositoryPullCount', 'Count', this.pullsFrom, 'RepositoryName')
    for (const [name, set] of this.calls.statistics) put('AWS/Usage', 'CallCount', 'None', set, usageDimensions('API', name))
    return found
  }
}

/**
 * Makes metrics of the records of the audit trail, in the transaction that adds these: a record counts once, whatever is repeated
 * after a crash.
 */
export class RollUp {
  readonly #home: string
  readonly #remembered: RememberedSeries
  readonly #now: () => number

  /** `home`: where requests count whose callers proved nothing, whatever they name. */
  constructor(home: { readonly account: string; readonly region: string }, now: () => number, limits: SeriesLimits = derivedLimits) {
    this.#home = registryOfMetrics(home.account, home.region)
    this.#now = now
    this.#remembered = rememberSeries(limits)
  }

  /** To be called where the transaction of `add` was rolled back. */
  forget(): void {
    this.#remembered.forget()
  }

  /** Counts records one after another; `add` then adds what was counted. */
  begin(): RecordCount {
    return new RecordCount(this.#home)
  }

  async add(tx: Session, count: RecordCount): Promise<void> {
    await addPoints(tx, this.#remembered, count.additions(), this.#now())
  }
}

/** What was counted of some records, by minute and registry. */
export class RecordCount {
  readonly #home: string
  readonly #tallies = new Map<string, Tally>()
  /** Records come by time, and most are of the registry of the one before. */
  #last: Tally | undefined

  constructor(home: string) {
    this.#home = home
  }

  count(body: TrailBody): void {
    if (isChangeBody(body)) return
    const registry = body.actor === undefined ? this.#home : registryOfMetrics(body.account, body.region)
    const at = body.at - (body.at % minuteMs)
    if (this.#last?.at !== at || this.#last.registry !== registry) this.#last = this.#tallyOf(registry, at)
    this.#last.add(body)
  }

  #tallyOf(registry: string, at: number): Tally {
    const key = `${at} ${registry}`
    let tally = this.#tallies.get(key)
    if (tally === undefined) this.#tallies.set(key, (tally = new Tally(registry, at)))
    return tally
  }

  additions(): Addition[] {
    return [...this.#tallies.values()].flatMap((tally) => tally.additions())
  }
}

/** What a request deleted, as its changes tell: images, a tag or a layer by itself, a repository. */
function deletesOf({ changes = [] }: RequestBody): number {
  return changes.reduce((count, { action, detail }) => {
    if (action === 'DeleteRepository') return count + 1
    if (action !== 'BatchDeleteImage') return count
    return count + (Array.isArray(detail['imageIds']) ? detail['imageIds'].length : 1)
  }, 0)
}

/** A user or a role with its account; of a role's session the role, of which there are fewer. */
function principalName(actor: RecordedActor | undefined): string {
  if (actor === undefined) return otherValue
  const parts = actor.arn.slice(actor.arn.lastIndexOf(':') + 1).split('/')
  switch (actor.kind) {
    case 'root':
      return `${actor.account}:root`
    case 'user':
      return `${actor.account}:user/${parts.at(-1)}`
    case 'assumed-role':
      return `${actor.account}:role/${parts[1]}`
  }
}

/** The /24 of an IPv4 address, the /64 of an IPv6 one. */
export function networkOf(ip: string): string {
  if (!isIPv6(ip)) return `${ip.slice(0, ip.lastIndexOf('.'))}.0/24`
  const [head = '', tail] = ip.split('::')
  const before = head === '' ? [] : head.split(':')
  const after = tail === undefined || tail === '' ? [] : tail.split(':')
  const groups = tail === undefined ? before : [...before, ...Array<string>(Math.max(0, 8 - before.length - after.length)).fill('0'), ...after]
  return `${groups.slice(0, 4).join(':')}::/64`
}
