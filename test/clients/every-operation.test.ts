import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { signedBy } from '../authorization/control-plane.ts'
import { Exchange } from '../authorization/exchange.ts'
import { servedOperations } from '../authorization/served-operations.ts'
import { newAccount } from '../support/identities.ts'
import { githubClaims } from '../support/identity-claims.ts'
import { startOidcIssuer, type OidcIssuer } from '../support/oidc-issuer.ts'
import { run } from '../support/run.ts'
import { startStowage, type Stowage } from '../support/start-stowage.ts'
import { ensureTool } from '../support/tools.ts'
import { cloudtrailScenario } from './every-operation/cloudtrail-steps.ts'
import { cloudwatchScenario } from './every-operation/cloudwatch-steps.ts'
import { ecrQuotas, ecrScenario } from './every-operation/ecr-steps.ts'
import { eventsScenario, type EventHook } from './every-operation/events-steps.ts'
import { neverDated, neverSucceeds, neverWaited, notRaised } from './every-operation/exceptions.ts'
import { iamScenario, type OtherAccount, type WebIssuer, type WebToken } from './every-operation/iam-steps.ts'
import { runWithJavascript } from './every-operation/javascript-run.ts'
import { logsQuotas, logsScenario, stranger } from './every-operation/logs-steps.ts'
import type { ClientModel, Report, Scenario } from './every-operation/step.ts'

const folder = join(import.meta.dirname, 'every-operation')

const scenarios = [ecrScenario, iamScenario, eventsScenario, cloudwatchScenario, logsScenario, cloudtrailScenario]
const scenario: Scenario = {
  steps: scenarios.flatMap(({ steps }) => steps),
  lists: scenarios.flatMap(({ lists }) => lists),
  waits: scenarios.flatMap(({ waits }) => waits),
  cleaning: scenarios.flatMap(({ cleaning }) => cleaning),
}
const calls = [...scenario.steps, ...scenario.cleaning]

/** What clients of AWS have no model of: the registry's own protocol and service, which other tests call. */
const notOfAws = new Set(['oci', 'stowage'])

/** What is served, by `service.operation` as the clients name them. */
const served = (await servedOperations()).flatMap((name) => {
  const [service = '', operation] = name.split(':')
  return notOfAws.has(service) ? [] : [`${service === 'monitoring' ? 'cloudwatch' : service}.${operation}`]
})

let model: ClientModel

async function python<Answer>(script: string, input: unknown, env: Readonly<Record<string, string>> = {}): Promise<Answer> {
  const { stdout } = await run(ensureTool('python'), [join(folder, script)], { env: { ...env, PYTHONDONTWRITEBYTECODE: '1' }, input: JSON.stringify(input) })
  return JSON.parse(stdout) as Answer
}

beforeAll(async () => {
  model = await python<ClientModel>('model.py', served)
})

describe('the table of calls', () => {
  const called = new Set(calls.filter(({ error, code }) => error === undefined && code === undefined).map(({ service, operation }) => `${service}.${operation}`))

  test('has every operation that is served, and no other', () => {
    expect(served.filter((name) => !called.has(name)).toSorted()).toEqual(Object.keys(neverSucceeds).toSorted())
    expect([...called].filter((name) => !served.includes(name))).toEqual([])
  })

  test('has every exception that a client may expect of an operation, or the reason why it never comes', () => {
    const raised = new Set(calls.filter(({ error }) => error !== undefined).map(({ service, operation, error }) => `${service}.${operation} ${error}`))
    const reasonOf = (name: string, error: string) =>
      notRaised.find((reason) => reason.errors.includes(error) && (reason.operations === undefined || reason.operations.test(name)))

    const modelled = Object.entries(model.errors).flatMap(([name, errors]) => errors.map((error) => ({ name, error, key: `${name} ${error}` })))
    expect(modelled.filter(({ name, error, key }) => !raised.has(key) && reasonOf(name, error) === undefined).map(({ key }) => key)).toEqual([])
    expect(modelled.filter(({ name, error, key }) => raised.has(key) && reasonOf(name, error) !== undefined).map(({ key }) => key)).toEqual([])
    expect([...raised].filter((key) => !modelled.some((each) => each.key === key))).toEqual([])
  })

  test('walks every list that a client has a paginator for, and waits with every waiter', () => {
    const walked = scenario.lists.map(({ service, operation }) => `${service}.${operation}`)
    const waited = scenario.waits.map(({ service, waiter }) => `${service}.${waiter}`)

    expect(Object.keys(model.pages).filter((name) => !walked.includes(name) && !(name in neverSucceeds))).toEqual([])
    expect(Object.entries(model.waiters).filter(([name, asks]) => !waited.includes(name) && !(`ecr.${asks}` in neverSucceeds) && !(name in neverWaited))).toEqual([])
  })
})

describe('against a server', () => {
  const silentIssuer = 'localhost:1'
  let issuer: OidcIssuer
  const reports = new Map<string, Report>()

  beforeAll(async () => {
    issuer = await startOidcIssuer()
    // Makes its key, which clients that begin side by side would each make anew.
    await issuer.sign({})
  })
  afterAll(async () => {
    await issuer?.stop()
  })

  async function valuesFor(stowage: Stowage): Promise<Record<WebToken | WebIssuer | OtherAccount | EventHook, string>> {
    const other = await newAccount(stowage.url, stowage.keys, '111122223333')
    const claims = githubClaims({})
    const now = Math.floor(Date.now() / 1000)
    const random = Array.from({ length: 50 }, (_, key) => [`key${key}`, [Buffer.from(crypto.getRandomValues(new Uint8Array(96))).toString('base64')]])
    const exchange = new Exchange(stowage.url)
    const input = { destinationName: 'client', url: 'https://hooks.example.com/' }
    const made = await exchange.send({ protocol: 'json', service: 'stowage', target: 'Stowage_V1.CreateEventDestination', input }, signedBy(stowage.keys))
    return {
      ...stranger,
      hook: String((JSON.parse(made.body) as { destinationArn: unknown }).destinationArn),
      'other.id': other.accessKeyId,
      'other.secret': other.secretAccessKey,
      issuer: issuer.url,
      silentIssuer,
      token: await issuer.sign(claims),
      'token.expired': await issuer.sign({ ...claims, exp: now - 600, iat: now - 1200, nbf: now - 1200 }),
      'token.early': await issuer.sign({ ...claims, iat: now + 3000, nbf: now + 3000, exp: now + 6000 }),
      'token.otherAudience': await issuer.sign({ ...claims, aud: 'somebody else' }),
      'token.silentIssuer': await issuer.sign({ ...claims, iss: `https://${silentIssuer}` }),
      'token.large': await issuer.sign({ ...claims, 'https://aws.amazon.com/tags': { principal_tags: Object.fromEntries(random) } }),
    }
  }

  const clients: Record<string, (stowage: Stowage) => Promise<Report>> = {
    'the JavaScript SDK': async (stowage) => runWithJavascript(stowage, scenario, model, await valuesFor(stowage)),
    boto3: async (stowage) => python<Report>('boto3_run.py', { ...scenario, model, values: await valuesFor(stowage) }, stowage.awsEnv),
    'the aws command': async (stowage) =>
      python<Report>('aws_command_run.py', { ...scenario, model, values: await valuesFor(stowage) }, { ...stowage.awsEnv, AWS_MAX_ATTEMPTS: '1' }),
  }

  test.concurrent.each(Object.entries(clients))('%s makes every call, and has every refusal as its own exception', async (client, runClient) => {
    const stowage = await startStowage({
      env: { ...ecrQuotas, ...logsQuotas, STOWAGE_LIFECYCLE_INTERVAL_MS: '1000', STOWAGE_OIDC_PRIVATE_HOSTS: `${issuer.host},${silentIssuer}`, STOWAGE_OIDC_CA_FILE: issuer.caFile },
    })
    try {
      const report = await runClient(stowage)

      expect(report.problems).toEqual([])
      reports.set(client, report)
    } finally {
      await stowage.stop()
    }
  })

  test('all of them find times in the same places, wherever an operation has some', () => {
    const named = Object.keys(clients).map((client) => reports.get(client)?.dates)
    const [first = []] = named
    const places = Object.entries(model.dates).flatMap(([name, paths]) => paths.map((path) => `${name} ${path}`))

    expect(named).toEqual(named.map(() => first))
    expect(first.toSorted()).toEqual(places.filter((place) => !neverDated.some((never) => never.test(place))).toSorted())
  })
})
