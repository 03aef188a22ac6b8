import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { iamClient, newRole } from '../support/identities.ts'
import { githubClaims } from '../support/identity-claims.ts'
import { startOidcIssuer, type OidcIssuer } from '../support/oidc-issuer.ts'
import { startStowage, type Stowage } from '../support/start-stowage.ts'
import { defaultAccountId } from './ecr-under-test.ts'

/* Anybody who can reach the server may call AssumeRoleWithWebIdentity: what they take is bounded before a token is looked at. */

const busyConnections = 120

let issuer: OidcIssuer
let stowage: Stowage
let role: string

beforeAll(async () => {
  issuer = await startOidcIssuer()
})
afterAll(() => issuer.stop())

async function started(env: Record<string, string> = {}): Promise<void> {
  stowage = await startStowage({
    env: { STOWAGE_OIDC_PRIVATE_HOSTS: issuer.host, STOWAGE_OIDC_CA_FILE: issuer.caFile, STOWAGE_LOG_LEVEL: 'warn', ...env },
  })
  const iam = iamClient(stowage.url, stowage.keys)
  await iam.createOpenIDConnectProvider({ Url: issuer.issuer, ClientIDList: ['sts.amazonaws.com'] })
  const trustPolicy = {
    Version: '2012-10-17',
    Statement: [
      {
        Effect: 'Allow',
        Principal: { Federated: `arn:aws:iam::${defaultAccountId}:oidc-provider/${issuer.url}` },
        Action: 'sts:AssumeRoleWithWebIdentity',
        Condition: { StringEquals: { [`${issuer.url}:sub`]: 'repo:octo-org/octo-repo:ref:refs/heads/main' } },
      },
    ],
  }
  role = await newRole(iam, { name: 'builds', trustPolicy })
  iam.destroy()
}

function requestOf(token: string): string {
  const body = new URLSearchParams({ Action: 'AssumeRoleWithWebIdentity', Version: '2011-06-15', RoleArn: role, RoleSessionName: 'build', WebIdentityToken: token }).toString()
  return `POST / HTTP/1.1\r\nHost: ${stowage.registryHost}\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: ${body.length}\r\n\r\n${body}`
}

/** Every address of the loopback network is this machine's. */
async function open(source: string): Promise<Socket> {
  const socket = connect({ port: stowage.port, host: '127.0.0.1', localAddress: source, noDelay: true })
  await once(socket, 'connect')
  return socket
}

async function answerOf(socket: Socket): Promise<string> {
  const [data] = (await once(socket, 'data')) as [Buffer]
  return data.toString()
}

async function ask(source: string, token: string): Promise<string> {
  const socket = await open(source)
  try {
    socket.write(requestOf(token))
    return await answerOf(socket)
  } finally {
    socket.destroy()
  }
}

const goodToken = (): Promise<string> => issuer.sign(githubClaims({ ref: 'refs/heads/main' }))

describe('AssumeRoleWithWebIdentity in turns', () => {
  beforeAll(() => started())
  afterAll(() => stowage.stop())

  /** How many of a crowd's answers came before that of one who asked last. */
  async function answersBefore(crowd: readonly Socket[], one: Socket, request: string): Promise<number> {
    let answered = 0
    const all = crowd.map(async (socket) => {
      expect(await answerOf(socket)).toMatch(/^HTTP\/1.1 [24]/)
      answered += 1
    })
    for (const socket of crowd) socket.write(request)
    one.write(request)
    expect(await answerOf(one)).toMatch(/^HTTP\/1.1 [24]/)
    const before = answered
    await Promise.all(all)
    return before
  }

  async function rounds(request: string, one: Socket): Promise<number[]> {
    const crowd = await Promise.all(Array.from({ length: busyConnections }, () => open('127.0.0.2')))
    try {
      const counts: number[] = []
      for (let n = 0; n < 10; n += 1) counts.push(await answersBefore(crowd, one, request))
      return counts.toSorted((a, b) => a - b)
    } finally {
      for (const socket of [...crowd, one]) socket.destroy()
    }
  }

  it('from one place holds up no other place, whatever role it names', async () => {
    const forged = requestOf(`${(await goodToken()).slice(0, -8)}AAAAAAAA`)
    expect(await ask('127.0.0.3', await goodToken())).toMatch(/^HTTP\/1.1 200/)
    const counts = await rounds(forged, await open('127.0.0.3'))

    // Where this process had to wait for a processor between its writes, the server was done with most by then.
    expect(counts[0]).toBeLessThan(busyConnections / 3)
  })
})

describe('AssumeRoleWithWebIdentity at a rate', () => {
  beforeAll(() => started({ STOWAGE_REQUEST_RATES: 'AssumeRoleWithWebIdentity=8' }))
  afterAll(() => stowage.stop())

  it('is refused beyond it, before the issuer is asked', async () => {
    const forged = await issuer.sign(githubClaims({ ref: 'refs/heads/main' }), { kid: 'never-published' })
    issuer.withdraw('never-published')
    const asked = issuer.requests.length
    // Two at once, and another for each half second that passes: most are refused on the slowest machine.
    const answers = await Promise.all(Array.from({ length: 60 }, () => ask('127.0.0.2', 'no token')))
    const throttled = answers.filter((answer) => answer.includes('<Code>Throttling</Code>'))

    expect(throttled.length).toBeGreaterThan(20)
    expect(throttled[0]).toMatch(/^HTTP\/1.1 400/)
    expect(throttled[0]).toContain('<Message>Rate exceeded</Message>')
    expect((await Promise.all(Array.from({ length: 30 }, () => ask('127.0.0.2', forged)))).filter((answer) => answer.includes('Throttling')).length).toBeGreaterThan(5)
    expect(issuer.requests.length - asked).toBeLessThanOrEqual(4)

    expect(await ask('127.0.0.3', await goodToken())).toMatch(/^HTTP\/1.1 200/)
  })
})
