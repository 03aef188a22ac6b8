import { spawn, type ChildProcess } from 'node:child_process'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { ECR } from '@aws-sdk/client-ecr'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { signedBy } from '../authorization/control-plane.ts'
import { Exchange } from '../authorization/exchange.ts'
import { createCertificate, type CertificateFiles } from '../support/certificates.ts'
import { startTestPlatform, type TestPlatform } from '../support/platform.ts'
import { registerSecret } from '../support/secrets.ts'
import { createTempDir, type TempDir } from '../support/temp-dir.ts'
import { ensureTool } from '../support/tools.ts'

type Said = Readonly<Record<string, unknown>>

/** A real mail server, and what it says. */
interface MailServer {
  readonly port: number
  readonly said: Said[]
  readonly child: ChildProcess
}

const password = 'a password of mail'

let dir: TempDir
let certificate: CertificateFiles
let servers: MailServer[]
let platform: TestPlatform
let exchange: Exchange
let ecr: ECR

async function startMailServer(kind: 'starttls' | 'tls'): Promise<MailServer> {
  const child = spawn(ensureTool('python-with-aiosmtpd'), [join(import.meta.dirname, '../support/smtp_receiver.py'), certificate.certFile, certificate.keyFile, kind], { stdio: ['pipe', 'pipe', 'ignore'] })
  const said: Said[] = []
  const port = await new Promise<number>((resolve, reject) => {
    child.once('exit', () => reject(new Error('the mail server ended')))
    createInterface({ input: child.stdout }).on('line', (line) => {
      const facts = JSON.parse(line) as Said
      if (typeof facts['port'] === 'number') resolve(facts['port'])
      else said.push(facts)
    })
  })
  return { port, said, child }
}

beforeAll(async () => {
  registerSecret('a password of mail', password)
  dir = createTempDir('mail')
  certificate = await createCertificate(dir.path)
  servers = await Promise.all([startMailServer('starttls'), startMailServer('tls')])
  platform = await startTestPlatform({
    database: 'sqlite',
    settings: {
      STOWAGE_EVENTS_PRIVATE_HOSTS: servers.map(({ port }) => `localhost:${port}`).join(','),
      STOWAGE_EVENTS_CA_FILE: certificate.certFile,
      STOWAGE_EVENTS_LONGEST_WAIT_MS: '200',
    },
  })
  exchange = new Exchange(platform.url)
  ecr = new ECR({ endpoint: platform.url, region: 'us-east-1', credentials: platform.credentials, maxAttempts: 1 })
})
afterAll(async () => {
  ecr?.destroy()
  for (const { child } of servers ?? []) child.kill()
  await platform?.stop()
  dir?.remove()
})

async function call(service: 'events' | 'stowage', operation: string, input: object): Promise<Record<string, unknown>> {
  const target = `${service === 'events' ? 'AWSEvents' : 'Stowage_V1'}.${operation}`
  const { status, body } = await exchange.send({ protocol: 'json', service, target, input }, signedBy(platform.credentials))
  if (status !== 200) throw new Error(`${operation}: ${body}`)
  return JSON.parse(body) as Record<string, unknown>
}

/** A destination of mail, and a rule that sends what happens to a repository there. */
async function tell(name: string, url: string, target: object = {}, secret: string | undefined = password): Promise<void> {
  const { destinationArn, ...made } = await call('stowage', 'CreateEventDestination', { destinationName: name, url, secret })
  expect(made).not.toHaveProperty('secret')
  await call('events', 'PutRule', { Name: name, EventPattern: JSON.stringify({ detail: { 'repository-name': [name] } }) })
  await call('events', 'PutTargets', { Rule: name, Targets: [{ Id: 'mail', Arn: destinationArn, ...target }] })
  await platform.createRepository(name)
}

async function push(repositoryName: string, imageTag: string): Promise<void> {
  const imageManifest = JSON.stringify({ schemaVersion: 2, mediaType: 'application/vnd.oci.image.index.v1+json', manifests: [], annotations: { imageTag } })
  await ecr.putImage({ repositoryName, imageTag, imageManifest })
}

async function until<Found>(what: string, look: () => Found | undefined | Promise<Found | undefined>): Promise<Found> {
  const endsAt = Date.now() + 30_000
  for (;;) {
    const found = await look()
    if (found !== undefined) return found
    if (Date.now() > endsAt) throw new Error(`${what} has not come within 30 s`)
    await new Promise((resolve) => setTimeout(resolve, 25))
  }
}

const deadLetterOf = (rule: string) => async () => ((await call('stowage', 'ListEventDeadLetters', {}))['deadLetters'] as { ruleName: string; reason: string }[]).find(({ ruleName }) => ruleName === rule)

it.each(['starttls', 'tls'] as const)('an event is mail, encrypted (%s), from a user who has logged in', async (kind) => {
  const server = servers[kind === 'tls' ? 1 : 0]!
  await tell(kind, `smtp${kind === 'tls' ? 's' : ''}://registry%40corp.example@localhost:${server.port}?from=registry@corp.example&to=ops@corp.example,oncall@corp.example`)
  await push(kind, 'v1')
  const mail = await until('the mail', () => server.said.find(({ to }) => Array.isArray(to) && to.includes('oncall@corp.example')))
  expect(mail).toMatchObject({ sender: 'registry@corp.example', to: ['ops@corp.example', 'oncall@corp.example'], user: 'registry@corp.example', encrypted: true, subject: `ECR Image Action: ${kind}` })
  const event = JSON.parse(String(mail['text'])) as { id: string; detail: object }
  expect(event.detail).toMatchObject({ 'image-tag': 'v1' })
  expect(mail['id']).toBe(`<${event.id}@stowage>`)
})

it('a template says what people read', async () => {
  const InputTransformer = { InputPathsMap: { tag: '$.detail.image-tag' }, InputTemplate: '{"subject": "pushed: <tag>\\nBcc: x@corp.example", "text": "The image <tag> is there."}' }
  await tell('template', `smtp://u@localhost:${servers[0]!.port}?from=a@corp.example&to=template@corp.example`, { InputTransformer })
  await push('template', 'v2')
  const mail = await until('the mail', () => servers[0]!.said.find(({ to }) => Array.isArray(to) && to.includes('template@corp.example')))
  expect(mail).toMatchObject({ to: ['template@corp.example'], subject: 'pushed: v2 Bcc: x@corp.example', text: 'The image v2 is there.' })
})

it('what is put off comes later, and what is refused becomes a dead letter with the reason', async () => {
  await tell('later', `smtp://u@localhost:${servers[0]!.port}?from=a@corp.example&to=later@corp.example`)
  await tell('never', `smtp://u@localhost:${servers[0]!.port}?from=a@corp.example&to=never@corp.example`)
  await push('later', 'v1')
  await push('never', 'v1')
  await until('the mail', () => servers[0]!.said.find(({ to }) => Array.isArray(to) && to.includes('later@corp.example')))
  expect(servers[0]!.said).toContainEqual({ put_off: 'later@corp.example' })
  expect(await until('the dead letter', deadLetterOf('never'))).toMatchObject({ reason: 'SMTP status 550' })
})

it('a wrong password is tried again, and a right one is then taken', async () => {
  const url = `smtp://wrong@localhost:${servers[0]!.port}?from=a@corp.example&to=mended@corp.example`
  await tell('mended', url, {}, 'another password')
  await push('mended', 'v1')
  await until('the refusal', () => servers[0]!.said.find(({ refused }) => refused === 'wrong'))
  // A password is for the server that it was given for.
  await expect(call('stowage', 'UpdateEventDestination', { destinationName: 'mended', url: url.replace('localhost', 'other.example') })).rejects.toThrow('give the password as the secret')
  await call('stowage', 'UpdateEventDestination', { destinationName: 'mended', secret: password })
  await until('the mail', () => servers[0]!.said.find(({ to }) => Array.isArray(to) && to.includes('mended@corp.example')))
})

it('mail goes to public addresses alone, and encrypted', async () => {
  await tell('inside', 'smtps://u@127.0.0.1:1?from=a@corp.example&to=b@corp.example', { RetryPolicy: { MaximumRetryAttempts: 0 } })
  await push('inside', 'v1')
  expect(await until('the dead letter', deadLetterOf('inside'))).toMatchObject({ reason: 'the host has no public address, and STOWAGE_EVENTS_PRIVATE_HOSTS does not open it to this account' })
  for (const url of ['smtp://localhost', 'smtp://u:secret@h?from=a@b.example&to=c@d.example', 'smtp://h?from=a@b.example&to=c%0aRCPT@d.example', 'smtp://h/path?from=a@b.example&to=c@d.example', 'smtp://u@h?from=a@b.example&to=c@d.example&starttls=if-offered', 'smtps://h?from=a@b.example&to=c@d.example&starttls=required', 'smtp://h?from=a@b.example&to=c@d.example&cc=e@f.example']) {
    await expect(call('stowage', 'CreateEventDestination', { destinationName: 'bad', url, secret: password })).rejects.toThrow('The address of mail is')
  }
  await expect(call('stowage', 'CreateEventDestination', { destinationName: 'bad', url: 'smtp://u@h?from=a@b.example&to=c@d.example' })).rejects.toThrow('give the password as the secret')
  await expect(call('stowage', 'CreateEventDestination', { destinationName: 'bad', url: 'smtp://h?from=a@b.example&to=c@d.example', secret: password })).rejects.toThrow('names no user')
})
