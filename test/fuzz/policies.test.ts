import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { keysOf, queryRequest, signedBy } from '../authorization/control-plane.ts'
import { entries } from '../authorization/entries.ts'
import type { Entry } from '../authorization/entry.ts'
import type { Answer, Login, MatrixRequest } from '../authorization/exchange.ts'
import type { Place } from '../authorization/places.ts'
import { roleArn } from '../authorization/sts-entries.ts'
import { createDatabase } from '../support/postgres.ts'
import { databases } from '../support/registry.ts'
import { startStowage, type Stowage } from '../support/start-stowage.ts'
import { fuzzBudget, saveFailure } from './budget.ts'
import { hostilePieces } from './mutation.ts'
import { deniedPolicy, mutatedPolicy, randomPolicy, type PolicyKind } from './policy-texts.ts'
import { fuzzAccounts, makePolicyWorld, markers, steadyRole, type FuzzAccount, type Lane, type Member, type PolicyWorld } from './policy-world.ts'
import { Random } from './random.ts'

const { seed, policyCases, isLong } = fuzzBudget()
const casesOfDatabase = Math.ceil(policyCases / databases.length)
const laneCount = 6
const requestsPerCase = 2

/** A hundred times what a case takes on an idle machine. */
const timeoutMs = 60_000 + casesOfDatabase * 500

/** Every operation there is, as the authorization matrix knows them. */
const operations: readonly (readonly [string, Entry])[] = Object.entries(entries)

/** Those that tell most: where another account's names would be heard first. */
const tellingOperations = operations.filter(([name]) => /:(list|describe|get)/i.test(name))

function operationOf(random: Random): readonly [string, Entry] {
  return random.pick(random.chance(0.5) ? operations : tellingOperations)
}

/** What a policy was set on, and how to see it again. */
interface Setting {
  readonly set: MatrixRequest
  readonly get: MatrixRequest
  readonly by: Login
}

function settingOf(random: Random, { plane }: PolicyWorld, lane: Lane, kind: PolicyKind, member: Member, text: string): Setting {
  const by = plane.root(member.accountId)
  switch (kind) {
    case 'resource': {
      const place = lane.openRepositories.find(({ accountId }) => accountId === member.accountId)!
      const named = { repositoryName: place.repository }
      const ecr = (operation: string, input: object): MatrixRequest => ({ protocol: 'json', service: 'ecr', target: `AmazonEC2ContainerRegistry_V20150921.${operation}`, input })
      return { set: ecr('SetRepositoryPolicy', { ...named, policyText: text, force: random.chance(0.7) }), get: ecr('GetRepositoryPolicy', named), by }
    }
    case 'trust': {
      const named = { RoleName: lane.roleName }
      return { set: queryRequest('iam', 'UpdateAssumeRolePolicy', { ...named, PolicyDocument: text }), get: queryRequest('iam', 'GetRole', named), by }
    }
    default: {
      const named = { UserName: member.userName, PolicyName: 'fuzzed' }
      return { set: queryRequest('iam', 'PutUserPolicy', { ...named, PolicyDocument: text }), get: queryRequest('iam', 'GetUserPolicy', named), by }
    }
  }
}

/** Puts a hostile piece into one of the texts of a request, now and then. */
function bent(random: Random, request: MatrixRequest): MatrixRequest {
  if (random.chance(0.8)) return request
  const piece = random.pick(hostilePieces).toWellFormed()
  if (request.protocol === 'query') {
    const name = random.pick(Object.keys(request.parameters).filter((key) => key !== 'Action'))
    return name === undefined ? request : { ...request, parameters: { ...request.parameters, [name]: (request.parameters[name] ?? '') + piece } }
  }
  if (request.protocol === 'json') {
    const [name, value] = random.pick(Object.entries(request.input as Record<string, unknown>)) ?? []
    return name === undefined || typeof value !== 'string' ? request : { ...request, input: { ...request.input, [name]: value + piece } }
  }
  const path = request.path + piece.replace(/[^\x21-\x7e]/g, '')
  return { ...request, path }
}

/** A login that is nearly one: what it decodes to is another. */
function damaged(random: Random, login: Login): Login {
  const change = (text: string): string => {
    const at = random.integer(Math.max(text.length - 4, 1))
    return text.slice(0, at) + (text.charAt(at) === 'Q' ? 'R' : 'Q') + text.slice(at + 1)
  }
  switch (login.kind) {
    case 'token': {
      const text = Buffer.from(login.authorizationToken, 'base64').toString('latin1')
      return { kind: 'token', authorizationToken: Buffer.from(change(text), 'latin1').toString('base64') }
    }
    case 'key': {
      const { accessKeyId, secretAccessKey, sessionToken } = login.keys
      if (sessionToken !== undefined && random.chance(0.5)) return signedBy({ accessKeyId, secretAccessKey, sessionToken: change(sessionToken) })
      return signedBy(random.chance(0.5) ? { ...login.keys, secretAccessKey: change(secretAccessKey) } : { ...login.keys, accessKeyId: change(accessKeyId) })
    }
    case 'none':
      return login
  }
}

/** What is wrong with an answer to somebody of an account. */
function brokenRule(accountId: FuzzAccount, request: MatrixRequest, answer: Answer): string | undefined {
  const { status, headers, body, code } = answer
  if (status >= 500) return `the answer is ${status}`
  if (headers['x-request-id'] === undefined) return 'the answer has no X-Request-Id'
  const heard = JSON.stringify(headers) + body
  for (const other of fuzzAccounts) {
    if (other !== accountId && heard.includes(markers[other])) return `somebody of ${accountId} hears a name of ${other}`
  }
  const isHead = request.protocol === 'oci' && request.method === 'HEAD'
  if (status >= 400 && status !== 401 && !isHead && code === undefined && request.protocol !== 'oci') return `the answer ${status} has no code`
  return undefined
}

class Cases {
  readonly failures: string[] = []
  readonly outcomes = new Map<string, number>()
  readonly #world: PolicyWorld

  constructor(world: PolicyWorld) {
    this.#world = world
  }

  async run(index: number, lane: Lane): Promise<void> {
    const random = Random.ofCase(seed, index)
    const { names } = this.#world
    const member = random.pick(lane.members)
    const kind = random.pick(['identity', 'identity', 'identity', 'resource', 'trust', 'session'] as const)
    const deniesAll = kind === 'identity' && random.chance(0.15)
    const text = deniesAll ? deniedPolicy(random, names) : random.pick([randomPolicy, randomPolicy, mutatedPolicy])(random, kind, names)
    const context = { index, kind, accountId: member.accountId, text }
    if (kind === 'session') {
      await this.#tryInSession(random, lane, member, text, context)
      return
    }
    const isSet = await this.#trySetting(settingOf(random, this.#world, lane, kind, member, text), context)
    for (let count = 0; count < requestsPerCase; count++) {
      const by = deniesAll || random.chance(0.5) ? member : random.pick(lane.members)
      const entry = operationOf(random)
      const answered = await this.#tryRequest(random, lane, by.accountId, entry, by, context)
      if (deniesAll && isSet && entry[1].needs.length > 0 && answered < 400) this.#fail(`${entry[0]} was answered ${answered} where everything is denied`, context)
    }
  }

  /** A policy that is not taken has to leave everything as it was. */
  async #trySetting({ set, get, by }: Setting, context: object): Promise<boolean> {
    const { exchange } = this.#world.plane
    const before = await exchange.send(get, by)
    const answer = await exchange.send(set, by)
    this.#count(`${(context as { kind: string }).kind} policy ${answer.status}`)
    if (answer.status >= 500) this.#fail(`a policy was answered ${answer.status}`, { ...context, answer })
    if (answer.status < 300) return true
    const after = await exchange.send(get, by)
    const stripped = ({ status, body }: Answer): string => `${status} ${body}`.replace(/<RequestId>[^<]*<\/RequestId>/, '')
    if (stripped(after) !== stripped(before)) this.#fail('a policy that was refused has changed something', { ...context, before, answer, after })
    return false
  }

  async #tryInSession(random: Random, lane: Lane, { accountId, aws }: Member, text: string, context: object): Promise<void> {
    const { plane, administrators } = this.#world
    const owner = random.pick(fuzzAccounts)
    const assume = (role: string): MatrixRequest => queryRequest('sts', 'AssumeRole', { RoleArn: roleArn(owner, role), RoleSessionName: 'fuzz', Policy: text.slice(0, 2048) })
    for (const [request, login] of [[assume(steadyRole), administrators.get(accountId)!], [assume(lane.roleName), aws]] as const) {
      const answer = await plane.exchange.send(request, login)
      this.#count(`session policy ${answer.status}`)
      const broken = brokenRule(accountId, request, answer)
      if (broken !== undefined) this.#fail(broken, { ...context, request, answer })
      if (answer.status >= 300) continue
      const session = { accountId: owner, userName: 'session', aws: signedBy(keysOf(answer)), oci: { kind: 'none' } as const }
      for (let count = 0; count < requestsPerCase; count++) await this.#tryRequest(random, lane, owner, operationOf(random), session, context)
      // Whoever is known at all may ask this.
      const whoAmI = queryRequest('sts', 'GetCallerIdentity')
      const { status } = await plane.exchange.sendAsStranger(whoAmI, damaged(random, session.aws))
      if (status < 400) this.#fail('damaged temporary credentials were served', context)
    }
  }

  async #tryRequest(random: Random, lane: Lane, accountId: FuzzAccount, [name, entry]: readonly [string, Entry], by: Member, context: object): Promise<number> {
    const place: Place = random.chance(0.7) ? random.pick(lane.openRepositories) : { accountId: random.pick(fuzzAccounts), repository: random.pick(['absent', 'open/absent']) }
    const request = bent(random, entry.request(place))
    const login = request.protocol === 'oci' ? by.oci : by.aws
    const isDamaged = login.kind !== 'none' && random.chance(0.15)
    const { exchange } = this.#world.plane
    const answer = isDamaged ? await exchange.sendAsStranger(request, damaged(random, login)) : await exchange.send(request, login)
    this.#count(`request ${answer.status}`)
    const broken = brokenRule(accountId, request, answer)
    if (broken !== undefined) this.#fail(broken, { ...context, name, by: by.userName, request, answer })
    if (isDamaged && answer.status < 400) this.#fail('a damaged login was served', { ...context, name, request, answer })
    return answer.status
  }

  #count(outcome: string): void {
    this.outcomes.set(outcome, (this.outcomes.get(outcome) ?? 0) + 1)
  }

  #fail(what: string, details: object): void {
    const saved = saveFailure(`policy-${seed}-${(details as { index?: number }).index ?? 0}`, { what, seed, ...details })
    this.failures.push(`${what}; kept in ${saved}`)
  }
}

describe.each(databases)(`random and mutated policies on %s, seed ${seed}`, (database) => {
  let stowage: Stowage
  let world: PolicyWorld | undefined
  let stop: () => Promise<unknown> = async () => undefined
  let drop: () => Promise<void> = async () => undefined

  beforeAll(async () => {
    const external = database === 'postgres' ? await createDatabase() : undefined
    if (external !== undefined) drop = external.drop
    stowage = await startStowage(external === undefined ? {} : { databaseUrl: external.url })
    stop = () => stowage.stop()
    world = await makePolicyWorld(stowage, laneCount)
  })

  afterAll(async () => {
    world?.close()
    await stop()
    await drop()
  })

  test('are taken or refused, and open nothing of another account', { timeout: timeoutMs }, async () => {
    if (world === undefined) throw new Error('the accounts were not made')
    const before = await world.hidden()
    const cases = new Cases(world)
    const end = (databases.indexOf(database) + 1) * casesOfDatabase
    let next = end - casesOfDatabase
    const run = async (lane: Lane): Promise<void> => {
      while (next < end && cases.failures.length < 5) await cases.run(next++, lane)
    }
    await Promise.all(world.lanes.map(run))

    expect(cases.failures).toEqual([])
    expect(await world.hidden()).toBe(before)
    // Policies of each kind were taken and were refused, and requests were served and were not.
    const kinds = ['identity policy 200', 'identity policy 400', 'resource policy 200', 'resource policy 400', 'trust policy 200', 'trust policy 400', 'session policy 200', 'session policy 400']
    for (const outcome of [...kinds, 'request 200', 'request 400', 'request 401', 'request 403']) expect([...cases.outcomes.keys()]).toContain(outcome)
    if (isLong) console.log(JSON.stringify([...cases.outcomes].sort()))
    const faults = stowage.logs().split('\n').filter((line) => /"level":"(error|fatal)"/.test(line))
    expect(faults).toEqual([])
  })
})
