import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { Authorizer, IamGeneration, rootPrincipal, type AccessRequest, type Decision, type Principal } from '../../src/iam/index.ts'
import { createUser } from '../../src/iam/commands/users.ts'
import { putRegistryPolicy } from '../../src/registry/commands/policies.ts'
import { commandContext } from '../../src/registry/index.ts'
import { parseAccountId, parseRepositoryName, type AccountId } from '../../src/values/index.ts'
import { databases, startRegistry, type RegistryFixture } from '../support/registry.ts'

const region = 'us-east-1'
const own = parseAccountId('000000000000')
const stranger = parseAccountId('111111111111')
const absent = parseAccountId('999999999999')

const pull = 'ecr:BatchGetImage'
/** One that every account has. */
const administrator = 'arn:aws:iam::aws:policy/AdministratorAccess'

/** The ARN of a repository of the account. */
const repository = (name: string, account: AccountId = own): string => `arn:aws:ecr:${region}:${account}:repository/${name}`

interface Statement {
  readonly Effect?: 'Allow' | 'Deny'
  readonly Principal?: unknown
  readonly Action: string | string[]
  readonly Resource?: string | string[]
  readonly Condition?: unknown
}

function policy(...statements: Statement[]): string {
  return JSON.stringify({ Version: '2012-10-17', Statement: statements.map((statement) => ({ Effect: 'Allow', ...statement })) })
}

describe.each(databases)('the authorizer on %s', (kind) => {
  let fixture: RegistryFixture
  let generation: IamGeneration
  let authorizer: Authorizer
  let unreadable: { owner: string; reason: string }[] = []
  let serial = 100

  beforeAll(async () => {
    fixture = await startRegistry(kind)
    generation = new IamGeneration(fixture.database)
    authorizer = new Authorizer({
      database: fixture.database,
      generation,
      onUnreadablePolicy: (problem) => unreadable.push(problem),
    })
    await fixture.tamper('insert into account (account_id, created_at) values (?, 0)', stranger)
    await fixture.tamper('insert into registry (id, account_id, region, created_at) values (77, ?, ?, 0)', stranger, region)
  })
  afterAll(() => fixture.stop())
  beforeEach(() => {
    unreadable = []
  })

  async function newRepository(prefix = 'team/app', tags: Record<string, string> = {}): Promise<{ name: string; id: number }> {
    const name = `${prefix}-${serial++}`
    const { id } = await fixture.registry.createRepository(fixture.context, {
      name: parseRepositoryName(name),
      tagMutability: 'MUTABLE',
      mutabilityFilters: [],
      scanOnPush: false,
      tags,
    })
    return { name, id }
  }

  /** What was written behind the program's back is seen with the next change of who-may-what, here of a server that does not say where. */
  async function settle(): Promise<void> {
    await fixture.tamper('update iam_generation set value = value + 1')
    await newRepository('settle/x', { a: 'b' })
    await generation.refresh()
  }

  async function newUser(account: AccountId = own, boundary: string | null = null): Promise<Principal & { identity: { id: number } }> {
    const id = serial++
    await fixture.tamper(
      'insert into iam_user (id, account_id, name, name_key, path, unique_id, boundary_arn, created_at) values (?, ?, ?, ?, ?, ?, ?, 0)',
      ...([id, account, `user${id}`, `user${id}`, '/ci/', `AIDA${id}`, boundary].map((value) => value ?? 'null') as [number]),
    )
    if (boundary === null) await fixture.tamper('update iam_user set boundary_arn = null where id = ?', id)
    const identity = { kind: 'user', id } as const
    return { arn: `arn:aws:iam::${account}:user/ci/user${id}`, accountId: account, kind: 'user', userId: `AIDA${id}`, accessKeyId: 'AKIAX', identity }
  }

  async function newRole(): Promise<Principal & { identity: { id: number } }> {
    const id = serial++
    await fixture.tamper(
      `insert into iam_role (id, account_id, name, name_key, path, unique_id, trust_policy, max_session_seconds, created_at) values (?, ?, ?, ?, '/ci/', ?, '{}', 3600, 0)`,
      ...[id, own, `role${id}`, `role${id}`, `AROA${id}`],
    )
    const arn = `arn:aws:sts::${own}:assumed-role/role${id}/build`
    return { arn, accountId: own, kind: 'assumed-role', userId: `AROA${id}:build`, accessKeyId: 'ASIAX', identity: { kind: 'role', id } }
  }

  function inSession(principal: Principal, session: Partial<Principal['session']> = {}): Principal {
    const plain = { issuedAt: 0, expiresAt: 1e15, policies: [], tags: {}, transitiveTagKeys: [], sourceIdentity: undefined, provider: undefined, context: {} }
    return { ...principal, session: { ...plain, ...session } }
  }

  async function inline(owner: 'user' | 'role' | 'group', id: number, document: string): Promise<void> {
    await fixture.tamper('insert into iam_inline_policy (owner_kind, owner_id, name, document) values (?, ?, ?, ?)', owner, id, `p${serial++}`, document)
  }

  async function attach(owner: 'user' | 'role' | 'group', id: number, arn: string): Promise<void> {
    await fixture.tamper('insert into iam_attached_policy (owner_kind, owner_id, policy_arn) values (?, ?, ?)', owner, id, arn)
  }

  async function managed(document: string, account: AccountId = own): Promise<string> {
    const id = serial++
    await fixture.tamper(
      `insert into iam_policy (id, account_id, name, name_key, path, unique_id, default_version, last_version, created_at, updated_at) values (?, ?, ?, ?, '/', ?, 2, 2, 0, 0)`,
      ...[id, account, `Policy${id}`, `policy${id}`, `ANPA${id}`],
    )
    for (const [version, text] of [[1, policy({ Action: 'ecr:DescribeRegistry', Resource: '*' })], [2, document]] as const) {
      await fixture.tamper('insert into iam_policy_version (policy_id, version, document, created_at) values (?, ?, ?, 0)', id, version, text)
    }
    return `arn:aws:iam::${account}:policy/Policy${id}`
  }

  async function repositoryPolicy(id: number, document: string): Promise<void> {
    await fixture.tamper('insert into repository_policy (repository_id, document, updated_at) values (?, ?, 0)', id, document)
  }

  function ask(principal: Principal, action: string, resource: string, more: Partial<AccessRequest> = {}): AccessRequest {
    const accountId = /^\d{12}$/.exec(resource.split(':')[4] ?? '')?.[0] ?? principal.accountId
    const origin = { sourceIp: '192.0.2.7', secure: true, userAgent: 'docker/27', region: fixture.context.registry.region, nowMs: Date.UTC(2026, 1, 1) }
    return { principal, action, resource, accountId: accountId as AccountId, origin, ...more }
  }

  async function decide(...question: Parameters<typeof ask>): Promise<Decision> {
    return authorizer.authorize(ask(...question))
  }

  const isAllowed = async (...question: Parameters<typeof ask>): Promise<boolean> => (await decide(...question)).allowed

  async function refusal(...question: Parameters<typeof ask>): Promise<string> {
    const decision = await decide(...question)
    return decision.allowed ? 'allowed' : decision.message
  }

  const root = (account: AccountId = own): Principal => rootPrincipal(account, 'AKIAROOT')

  it('lets a root do everything in its account, nothing in another, and asks the database once', async () => {
    await settle()
    expect(await isAllowed(root(), pull, repository('no/such'))).toBe(true)
    expect(await isAllowed(root(), 'iam:CreateUser', '*')).toBe(true)
    expect(await refusal(root(), pull, repository('x', stranger))).toBe(
      `User: ${root().arn} is not authorized to perform: ${pull} on resource: ${repository('x', stranger)} because no resource-based policy allows the ${pull} action`,
    )
    const before = fixture.database.counters.statements
    for (const name of ['a1', 'b2', 'c3']) expect(authorizer.authorize(ask(root(), pull, repository(name)))).toEqual({ allowed: true })
    expect(fixture.database.counters.statements).toBe(before)
  })

  it('adds up the policies of a user and its groups, inline and attached, in their default versions', async () => {
    const user = await newUser()
    const group = serial++
    await fixture.tamper(`insert into iam_group (id, account_id, name, name_key, path, unique_id, created_at) values (?, ?, 'g', ?, '/', ?, 0)`, group, own, `g${group}`, `AGPA${group}`)
    await fixture.tamper('insert into iam_group_member (user_id, group_id) values (?, ?)', user.identity.id, group)
    await inline('user', user.identity.id, policy({ Action: pull, Resource: repository('own-inline') }))
    await attach('user', user.identity.id, await managed(policy({ Action: pull, Resource: repository('own-attached') })))
    await inline('group', group, policy({ Action: pull, Resource: repository('group-inline') }))
    await attach('group', group, await managed(policy({ Action: pull, Resource: repository('group-attached') })))
    await settle()

    for (const name of ['own-inline', 'own-attached', 'group-inline', 'group-attached']) expect([name, await isAllowed(user, pull, repository(name))]).toEqual([name, true])
    expect(await isAllowed(user, 'ecr:DescribeRegistry', '*')).toBe(false)
    expect(await refusal(user, pull, repository('other'))).toBe(
      `User: ${user.arn} is not authorized to perform: ${pull} on resource: ${repository('other')} because no identity-based policy allows the ${pull} action`,
    )
    expect(await isAllowed(user, 'ecr:PutImage', repository('own-inline'))).toBe(false)
  })

  it('gives a role’s sessions its policies, bounded by those of the session', async () => {
    const role = await newRole()
    await attach('role', role.identity.id, administrator)
    await settle()
    const bounded = inSession(role, { policies: [policy({ Action: pull, Resource: repository('team/*') })] })

    expect(await isAllowed(inSession(role), 'ecr:PutImage', repository('team/app'))).toBe(true)
    expect(await isAllowed(bounded, pull, repository('team/app'))).toBe(true)
    expect(await refusal(bounded, 'ecr:PutImage', repository('team/app'))).toContain('because no session policy allows the ecr:PutImage action')
    expect(await isAllowed(inSession(role, { policies: ['{'] }), pull, repository('team/app'))).toBe(false)
  })

  it('keeps a user within its permissions boundary, and denies everything where that is gone', async () => {
    const bounded = await newUser(own, await managed(policy({ Action: 'ecr:Batch*', Resource: '*' })))
    const lost = await newUser(own, `arn:aws:iam::${own}:policy/Nowhere`)
    for (const { identity } of [bounded, lost]) await attach('user', identity.id, administrator)
    await settle()

    expect(await isAllowed(bounded, pull, repository('a'))).toBe(true)
    expect(await refusal(bounded, 'ecr:PutImage', repository('a'))).toContain('because no permissions boundary allows the ecr:PutImage action')
    expect(await isAllowed(lost, pull, repository('a'))).toBe(false)
    expect(unreadable).toHaveLength(1)
  })

  it('denies everything to whom a policy belongs that cannot be read, since it might have denied it', async () => {
    const user = await newUser()
    await attach('user', user.identity.id, administrator)
    await inline('user', user.identity.id, '{"Version":"2012-10-17","Statement":[{"Effect":"Deny","Action"')
    await settle()

    expect(await refusal(user, pull, repository('a'))).toContain('because a policy that applies to it cannot be read')
    expect(unreadable).toMatchObject([{ owner: user.arn }])
  })

  it('takes away from a user that is gone what it could do', async () => {
    const user = await newUser()
    await attach('user', user.identity.id, administrator)
    await settle()
    expect(await isAllowed(user, pull, repository('a'))).toBe(true)

    await fixture.tamper('delete from iam_user where id = ?', user.identity.id)
    await settle()

    expect(await isAllowed(user, pull, repository('a'))).toBe(false)
  })

  it('asks a repository’s policy, and forgets it with the repository', async () => {
    const user = await newUser()
    const { name, id } = await newRepository()
    await repositoryPolicy(id, policy({ Principal: { AWS: user.arn }, Action: pull }))
    await settle()
    expect(await isAllowed(user, pull, repository(name))).toBe(true)
    expect(await isAllowed(user, 'ecr:PutImage', repository(name))).toBe(false)

    await fixture.registry.deleteRepository(fixture.context, parseRepositoryName(name), { force: false })
    await generation.refresh()

    expect(await isAllowed(user, pull, repository(name))).toBe(false)
  })

  it('takes both sides between accounts', async () => {
    const guest = await newUser(stranger)
    const { name, id } = await newRepository()
    await repositoryPolicy(id, policy({ Principal: { AWS: `arn:aws:iam::${stranger}:root` }, Action: pull }))
    await settle()
    expect(await refusal(guest, pull, repository(name))).toContain(`because no identity-based policy allows the ${pull} action`)
    expect(await isAllowed(root(stranger), pull, repository(name))).toBe(true)

    await inline('user', guest.identity.id, policy({ Action: ['ecr:*'], Resource: '*' }))
    await settle()

    expect(await isAllowed(guest, pull, repository(name))).toBe(true)
    expect(await refusal(guest, 'ecr:PutImage', repository(name))).toContain('because no resource-based policy allows the ecr:PutImage action')
  })

  it('says the same of what is there and of what is not, to whom neither is open', async () => {
    const nobody = await newUser()
    const guest = await newUser(stranger)
    await attach('user', guest.identity.id, administrator)
    const plain = await newRepository()
    const tagged = await newRepository('team/tagged', { team: 'a' })
    const open = await newRepository('team/open')
    await repositoryPolicy(open.id, policy({ Principal: { AWS: '222222222222' }, Action: '*' }))
    const closed = await newRepository('team/closed')
    await repositoryPolicy(closed.id, policy({ Effect: 'Deny', Principal: '*', Action: '*' }))
    await settle()

    for (const caller of [nobody, guest, root(stranger)]) {
      const answers = await Promise.all(
        [plain, tagged, open, closed, { name: 'no/such' }].map(async ({ name }) => (await refusal(caller, pull, repository(name))).replace(name, 'NAME')),
      )
      expect(new Set(answers).size).toBe(1)
    }
    const accounts = [own, absent].map(async (account) => (await refusal(guest, pull, repository('x', account))).replace(account, 'ACCOUNT'))
    expect(new Set(await Promise.all(accounts)).size).toBe(1)
    // Who has the right is told what takes it away.
    expect(await refusal(root(), pull, repository(closed.name))).toContain('with an explicit deny in a resource-based policy')
  })

  it('never locks an account out of its own policies', async () => {
    const { name, id } = await newRepository()
    await repositoryPolicy(id, policy({ Effect: 'Deny', Principal: '*', Action: '*' }))
    const broken = await newRepository()
    await repositoryPolicy(broken.id, 'nonsense')
    await settle()

    for (const each of [name, broken.name]) {
      expect(await isAllowed(root(), pull, repository(each))).toBe(false)
      expect(await isAllowed(root(), 'ecr:DeleteRepositoryPolicy', repository(each))).toBe(true)
      expect(await isAllowed(root(stranger), 'ecr:DeleteRepositoryPolicy', repository(each))).toBe(false)
    }
  })

  it('asks the registry’s policy about everything, or in its older scope about a few actions', async () => {
    const write = (document: string) => fixture.tamper('insert into registry_policy (registry_id, document, updated_at) values (77, ?, 0)', document)
    const everywhere = `arn:aws:ecr:${region}:${stranger}:repository/*`
    await write(policy({ Principal: { AWS: `arn:aws:iam::${own}:root` }, Action: ['ecr:CreateRepository', pull], Resource: everywhere }))
    await settle()
    expect(await isAllowed(root(), pull, repository('x', stranger))).toBe(true)
    expect(await isAllowed(root(), 'ecr:CreateRepository', repository('x', stranger))).toBe(true)
    expect(await isAllowed(root(), 'ecr:PutImage', repository('x', stranger))).toBe(false)

    await fixture.tamper(`insert into registry_setting (registry_id, name, value) values (77, 'REGISTRY_POLICY_SCOPE', 'V1')`)
    await settle()
    expect(await isAllowed(root(), pull, repository('x', stranger))).toBe(false)
    expect(await isAllowed(root(), 'ecr:CreateRepository', repository('x', stranger))).toBe(true)

    await fixture.tamper('delete from registry_policy where registry_id = 77')
    await fixture.tamper('delete from registry_setting where registry_id = 77')
    await settle()
    expect(await isAllowed(root(), 'ecr:CreateRepository', repository('x', stranger))).toBe(false)
  })

  it('judges by the tags of the two ends, whatever the case of their keys', async () => {
    const user = await newUser()
    await fixture.tamper(`insert into iam_tag (owner_kind, owner_id, key, value) values ('user', ?, 'Team', 'red')`, user.identity.id)
    const condition = { StringEquals: { 'ecr:ResourceTag/team': '${aws:PrincipalTag/team}' } }
    await inline('user', user.identity.id, policy({ Action: pull, Resource: '*', Condition: condition }))
    const red = await newRepository('team/red', { TEAM: 'red' })
    const blue = await newRepository('team/blue', { TEAM: 'blue' })
    await settle()

    expect(await isAllowed(user, pull, repository(red.name))).toBe(true)
    expect(await isAllowed(user, pull, repository(blue.name))).toBe(false)
    expect(await isAllowed(inSession(user, { tags: { team: 'blue' } }), pull, repository(blue.name))).toBe(true)
    expect(await isAllowed(inSession(user, { tags: { team: 'blue' } }), pull, repository(red.name))).toBe(false)

    await fixture.registry.untagResource(fixture.context, parseRepositoryName(red.name), ['TEAM'])
    await generation.refresh()
    expect(await isAllowed(user, pull, repository(red.name))).toBe(false)
  })

  it('lets a second tag of a repository, whose key differs in case only, open nothing and undo no denial', async () => {
    const [reader, denied] = [await newUser(), await newUser()]
    await inline('user', reader.identity.id, policy({ Action: pull, Resource: '*', Condition: { StringEquals: { 'ecr:ResourceTag/team': 'red' } } }))
    const secret = { Effect: 'Deny' as const, Action: pull, Resource: '*', Condition: { StringEquals: { 'aws:ResourceTag/secret': 'yes' } } }
    await inline('user', denied.identity.id, policy({ Action: pull, Resource: '*' }, secret))
    const { name } = await newRepository('team/twice', { team: 'blue', Team: 'red', secret: 'yes', SECRET: 'no' })
    await settle()

    expect(await isAllowed(reader, pull, repository(name))).toBe(false)
    expect(await isAllowed(denied, pull, repository(name))).toBe(false)

    await fixture.registry.untagResource(fixture.context, parseRepositoryName(name), ['team', 'secret'])
    await generation.refresh()
    expect(await isAllowed(reader, pull, repository(name))).toBe(true)
    expect(await isAllowed(denied, pull, repository(name))).toBe(true)
  })

  it('knows how a request came, and who sends it', async () => {
    const user = await newUser()
    const role = await newRole()
    const facts: readonly (readonly [operator: string, key: string, right: string, wrong: string])[] = [
      ['StringEquals', 'aws:PrincipalArn', user.arn, `${user.arn}x`],
      ['StringEquals', 'aws:username', user.arn.split('/')[2] ?? '', 'somebody'],
      ['StringEquals', 'aws:userid', user.userId, 'AIDANOBODY'],
      ['StringEquals', 'aws:PrincipalType', 'User', 'AssumedRole'],
      ['StringEquals', 'aws:PrincipalAccount', own, stranger],
      ['StringEquals', 'aws:ResourceAccount', own, stranger],
      ['StringEquals', 'aws:RequestedRegion', region, 'eu-west-1'],
      ['IpAddress', 'aws:SourceIp', '192.0.2.0/24', '198.51.100.0/24'],
      ['Bool', 'aws:SecureTransport', 'true', 'false'],
      ['StringLike', 'aws:UserAgent', 'docker/*', 'podman/*'],
      ['DateGreaterThan', 'aws:CurrentTime', '2026-01-31T00:00:00Z', '2026-02-02T00:00:00Z'],
      ['NumericLessThan', 'aws:EpochTime', '1770000000', '1760000000'],
      ['Bool', 'aws:ViaAWSService', 'false', 'true'],
    ]
    for (const [index, [operator, key, ...values]] of facts.entries()) {
      for (const [place, value] of values.entries()) {
        const Resource = repository(place === 0 ? `f${index}` : `g${index}`)
        await inline('user', user.identity.id, policy({ Action: pull, Resource, Condition: { [operator]: { [key]: value } } }))
      }
    }
    const roleArn = `arn:aws:iam::${own}:role/ci/role${role.identity.id}`
    await inline('role', role.identity.id, policy({ Action: pull, Resource: '*', Condition: { ArnEquals: { 'aws:PrincipalArn': roleArn }, StringEquals: { 'aws:FederatedProvider': 'p', 'issuer.example:sub': 'me' } } }))
    await settle()

    for (const [index, [, key]] of facts.entries()) {
      expect([key, await isAllowed(user, pull, repository(`f${index}`))]).toEqual([key, true])
      expect([key, await isAllowed(user, pull, repository(`g${index}`))]).toEqual([key, false])
    }
    expect(await isAllowed(inSession(role, { provider: 'p', context: { 'issuer.example:sub': 'me' } }), pull, repository('a'))).toBe(true)
    expect(await isAllowed(inSession(role, { provider: 'p', context: { 'issuer.example:sub': 'you' } }), pull, repository('a'))).toBe(false)
  })

  it('asks for each value of what a call touches by itself, at once or once it is known', async () => {
    const dev = await newUser()
    await inline('user', dev.identity.id, policy({ Action: '*', Resource: '*', Condition: { StringLike: { 'stowage:ImageTag': 'dev-*' } } }))
    const notProd = await newUser()
    await inline('user', notProd.identity.id, policy({ Action: '*', Resource: '*' }, { Effect: 'Deny', Action: '*', Resource: '*', Condition: { StringLike: { 'stowage:ImageTag': 'prod-*' } } }))
    await settle()
    const tags = (...names: (string | undefined)[]) => names.map((name) => (name === undefined ? {} : { 'stowage:ImageTag': name }))
    const cases: readonly (readonly [readonly (string | undefined)[], boolean, boolean])[] = [
      [[], false, true],
      [['dev-1'], true, true],
      [['prod-1'], false, false],
      [['dev-1', 'prod-1'], false, false],
      [['prod-1', 'dev-1'], false, false],
      [['dev-1', 'dev-2'], true, true],
      [['dev-1', undefined], false, true],
    ]

    for (const [names, mayDev, mayNotProd] of cases) {
      for (const conditions of [() => tags(...names), () => Promise.resolve(tags(...names))]) {
        expect([names, await isAllowed(dev, pull, repository('a'), { conditions })]).toEqual([names, mayDev])
        expect([names, await isAllowed(notProd, pull, repository('a'), { conditions })]).toEqual([names, mayNotProd])
      }
    }
    const plain = await newUser()
    await attach('user', plain.identity.id, administrator)
    const unasked = (): never => {
      throw new Error('no policy asks for it')
    }
    expect(await isAllowed(plain, pull, repository('a'), { conditions: unasked })).toBe(true)
    expect(await isAllowed(root(), pull, repository('a'), { conditions: unasked })).toBe(true)
  })

  it('answers as if a repository had another policy', async () => {
    const user = await newUser()
    const { name } = await newRepository()
    const may = policy({ Principal: { AWS: user.arn }, Action: 'ecr:SetRepositoryPolicy' })

    expect(await isAllowed(user, 'ecr:SetRepositoryPolicy', repository(name))).toBe(false)
    expect(await isAllowed(user, 'ecr:SetRepositoryPolicy', repository(name), { repositoryPolicy: may })).toBe(true)
    expect(await isAllowed(user, 'ecr:SetRepositoryPolicy', repository(name))).toBe(false)
  })

  it('decides at once and without the database what it has decided before', async () => {
    const user = await newUser()
    const { name, id } = await newRepository('team/cached', { team: 'a' })
    await repositoryPolicy(id, policy({ Principal: '*', Action: pull }))
    await settle()
    await decide(user, pull, repository(name))

    const before = fixture.database.counters.statements
    expect(authorizer.authorize(ask(user, pull, repository(name)))).toEqual({ allowed: true })
    expect(authorizer.authorize(ask(user, 'ecr:PutImage', repository(name)))).toMatchObject({ allowed: false })
    expect(fixture.database.counters.statements).toBe(before)
  })

  it('forgets what it knows of an account when something changes there, and nothing when it changes elsewhere, or nowhere', async () => {
    const user = await newUser()
    const { name } = await newRepository('team/kept', { team: 'a' })
    const plain = await newRepository('team/plain')
    await inline('user', user.identity.id, policy({ Action: pull, Resource: '*', Condition: { StringEquals: { 'ecr:ResourceTag/team': 'a' } } }))
    await settle()
    const repositoryName = parseRepositoryName(name)
    const tag = (value: string) => fixture.registry.tagResource(fixture.context, repositoryName, { team: value })
    /** How many statements a decision takes when everybody has looked. */
    const statements = async (): Promise<number> => {
      await generation.refresh()
      const before = fixture.database.counters.statements
      expect(await isAllowed(user, pull, repository(name))).toBe(true)
      return fixture.database.counters.statements - before
    }
    await statements()

    const elsewhere = { ...commandContext(fixture.context), accountId: stranger, registryId: 77 }
    await fixture.database.execute(createUser, { name: `kept-${serial++}`, path: '/', uniqueId: `AIDAKEPT${serial++}`, boundaryArn: null, tags: [] }, elsewhere)
    await fixture.database.execute(putRegistryPolicy, { policyText: '', document: policy({ Principal: '*', Action: pull }) }, elsewhere)
    expect(await statements()).toBe(0)
    await tag('a')
    await fixture.registry.untagResource(fixture.context, repositoryName, ['absent'])
    await fixture.registry.deleteRepository(fixture.context, parseRepositoryName(plain.name), { force: true })
    expect(await statements()).toBe(0)

    await tag('b')
    await tag('a')
    expect(await statements()).toBeGreaterThan(0)
    expect(await statements()).toBe(0)
    await fixture.tamper('delete from registry_policy where registry_id = 77')
  })

  it('forgets everything when policies, and the tags and bounds of sessions, take more than they may', async () => {
    const user = await newUser()
    await inline('user', user.identity.id, policy({ Action: '*', Resource: '*' }))
    await settle()
    const bounded = (maxHeldBytes: number) => new Authorizer({ database: fixture.database, generation, onUnreadablePolicy: () => undefined, maxHeldBytes })
    const rereads = async (maxHeldBytes: number, question: (round: number) => AccessRequest): Promise<number> => {
      const held = bounded(maxHeldBytes)
      await held.authorize(ask(user, pull, repository('any')))
      let count = 0
      for (let round = 0; round < 200; round += 1) {
        const before = fixture.database.counters.statements
        expect((await held.authorize(question(round))).allowed).toBe(true)
        if (fixture.database.counters.statements > before) count += 1
      }
      return count
    }
    const kilobyte = 'x'.repeat(1024)
    const inPolicies = (round: number) => ask(inSession(user, { policies: [policy({ Action: '*', Resource: ['*', `arn:aws:s3:::${round}${kilobyte}`] })] }), pull, repository('any'))
    const inTags = (round: number) => ask(inSession(user, { tags: { [`a${round}`]: kilobyte } }), pull, repository('any'))
    const same = () => ask(inSession(user, { policies: [policy({ Action: '*', Resource: ['*', kilobyte.replace(/^x{9}/, 'arn:aws:s')] })] }), pull, repository('any'))

    for (const question of [inPolicies, inTags]) {
      expect(await rereads(1024 ** 3, question)).toBe(0)
      expect(await rereads(100 * 1024, question)).toBeGreaterThan(2)
    }
    // What many have is there once.
    expect(await rereads(100 * 1024, same)).toBe(0)
    // What is remembered of resources counts, and is not more than some of them.
    expect(await rereads(1024 ** 3, (round) => ask(user, pull, `arn:aws:s3:::${round}`))).toBe(0)
    expect(await rereads(30 * 1024, (round) => ask(user, `s3:Get${round}`, `arn:aws:s3:::${round % 10}`))).toBeGreaterThan(0)
  })

  it('reads once for all who ask at the same time, and again after a failure', async () => {
    const user = await newUser()
    await settle()
    await decide(root(), pull, repository('warm'))
    const before = fixture.database.counters.statements
    await Promise.all(Array.from({ length: 20 }, () => decide(user, pull, repository('once'))))
    const afterwards = fixture.database.counters.statements

    expect(afterwards - before).toBeLessThan(8)
  })

  describe('a listing', () => {
    const list = 'ecr:DescribeRepositories'
    const all = repository('*')

    async function shown(principal: Principal, resource = all): Promise<string[] | string> {
      const visibility = await authorizer.visibleRepositories(ask(principal, list, resource))
      if (visibility !== undefined && 'allowed' in visibility) return visibility.message
      const names: string[] = []
      for (let after: string | undefined; ; ) {
        const page = await fixture.registry.listRepositories(fixture.context, { limit: 3, after }, visibility)
        expect(page.items.length).toBeLessThanOrEqual(3)
        names.push(...page.items.map(({ name }) => name))
        if (page.next === undefined) return names.filter((name) => name.startsWith('list/'))
        after = page.next
      }
    }
    beforeAll(async () => {
      for (const name of ['list/a', 'list/b', 'list/c', 'list/team/a', 'list/team/b', 'list/team-x', 'list/z']) {
        await fixture.registry.createRepository(fixture.context, {
          name: parseRepositoryName(name),
          tagMutability: 'MUTABLE',
          mutabilityFilters: [],
          scanOnPush: false,
          tags: name.endsWith('b') ? { secret: 'yes' } : {},
        })
      }
    })

    it.each<[string, Statement[], string[]]>([
      ['everything', [{ Action: list, Resource: '*' }], ['list/a', 'list/b', 'list/c', 'list/team-x', 'list/team/a', 'list/team/b', 'list/z']],
      ['a prefix', [{ Action: list, Resource: repository('list/team/*') }], ['list/team/a', 'list/team/b']],
      ['names', [{ Action: list, Resource: [repository('list/z'), repository('list/a'), repository('no/such')] }], ['list/a', 'list/z']],
      ['a pattern', [{ Action: 'ecr:*', Resource: repository('list/*/b') }], ['list/team/b']],
      ['one letter', [{ Action: list, Resource: repository('list/?') }], ['list/a', 'list/b', 'list/c', 'list/z']],
      ['what is not denied', [{ Action: list, Resource: '*' }, { Effect: 'Deny', Action: list, Resource: repository('list/team*') }], ['list/a', 'list/b', 'list/c', 'list/z']],
      ['what has a tag', [{ Action: list, Resource: '*', Condition: { StringEquals: { 'ecr:ResourceTag/secret': 'yes' } } }], ['list/b', 'list/team/b']],
      ['what has no tag', [{ Action: list, Resource: '*' }, { Effect: 'Deny', Action: list, Resource: '*', Condition: { StringEquals: { 'ecr:ResourceTag/secret': 'yes' } } }], ['list/a', 'list/c', 'list/team-x', 'list/team/a', 'list/z']],
    ])('shows %s', async (_, statements, expected) => {
      const user = await newUser()
      await inline('user', user.identity.id, policy(...statements))
      await settle()

      expect(await shown(user)).toEqual(expected)
    })

    it('is refused where there is nothing to see', async () => {
      const user = await newUser()
      const denied = await newUser()
      await inline('user', denied.identity.id, policy({ Action: list, Resource: repository('list/a') }, { Effect: 'Deny', Action: '*', Resource: '*' }))
      await settle()

      expect(await shown(user)).toContain(`because no identity-based policy allows the ${list} action`)
      expect(await shown(denied)).toContain('with an explicit deny in an identity-based policy')
    })

    it('of another account is refused alike whether there is one, unless its registry is open', async () => {
      const user = await newUser()
      await attach('user', user.identity.id, administrator)
      await settle()

      for (const caller of [user, root()]) {
        const answers = await Promise.all([stranger, absent].map(async (account) => String(await shown(caller, repository('*', account))).replace(account, 'X')))
        expect(new Set(answers).size).toBe(1)
        expect(answers[0]).toContain(`because no resource-based policy allows the ${list} action`)
      }
    })

    it('looks at a bounded number of names for a page, and costs no statement for each', async () => {
      const user = await newUser()
      await inline('user', user.identity.id, policy({ Action: list, Resource: '*', Condition: { StringEquals: { 'ecr:ResourceTag/nobody': 'x' } } }, { Action: list, Resource: repository('list/z') }))
      await settle()
      await decide(user, list, all)
      const visibility = await authorizer.visibleRepositories(ask(user, list, all))
      if (visibility !== undefined && 'allowed' in visibility) throw new Error(visibility.message)

      const before = fixture.database.counters.statements
      const page = await fixture.registry.listRepositories(fixture.context, { limit: 1000 }, visibility)

      expect(page.items.map(({ name }) => name)).toEqual(['list/z'])
      expect(fixture.database.counters.statements - before).toBeLessThanOrEqual(4)
    })
  })
})
