import { mkdirSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { createCertificate } from '../support/certificates.ts'
import { callStowage } from '../support/identities.ts'
import { installPrograms } from '../support/installed-programs.ts'
import { run, type RunResult } from '../support/run.ts'
import { registerSecret } from '../support/secrets.ts'
import { startStowage, type Stowage } from '../support/start-stowage.ts'
import { createTempDir, type TempDir } from '../support/temp-dir.ts'
import { ensureTool } from '../support/tools.ts'

interface WithRootKey {
  readonly account: { readonly accountId: string; readonly name: string }
  readonly rootCredential: { readonly accessKeyId: string; readonly secretAccessKey: string }
}

let dir: TempDir
let stowage: Stowage
let path: string

beforeAll(async () => {
  dir = createTempDir('account-command')
  mkdirSync(join(dir.path, 'bin'))
  path = installPrograms(join(dir.path, 'bin'), dirname(ensureTool('aws')))
  stowage = await startStowage()
})

afterAll(async () => {
  await stowage?.stop()
  dir?.remove()
})

function account(words: readonly string[], env: Readonly<Record<string, string>> = {}): Promise<RunResult> {
  return run('stowage', ['account', ...words], { env: { ...stowage.awsEnv, PATH: path, HOME: dir.path, ...env }, mayFail: true })
}

async function json<Answer>(...words: string[]): Promise<Answer> {
  const result = await account([...words, '--json'])
  expect(result.exitCode, result.output).toBe(0)
  const answer = JSON.parse(result.stdout) as Answer
  const secret = (answer as Partial<WithRootKey>).rootCredential?.secretAccessKey
  if (secret !== undefined) registerSecret('a secret access key', secret)
  return answer
}

async function callerArn(keys: WithRootKey['rootCredential']): Promise<RunResult> {
  const env = { ...stowage.awsEnv, PATH: path, AWS_ACCESS_KEY_ID: keys.accessKeyId, AWS_SECRET_ACCESS_KEY: keys.secretAccessKey }
  return run('aws', ['sts', 'get-caller-identity', '--query', 'Arn', '--output', 'text'], { env, mayFail: true })
}

it('makes accounts, lists them, and shows the key of each root once', async () => {
  const chosen = await json<WithRootKey>('create', 'Team B', '--account-id', '222222222222')
  const given = await json<WithRootKey>('create', 'Team C')

  expect(chosen.account).toMatchObject({ accountId: '222222222222', name: 'Team B', createdAt: expect.stringMatching(/^\d{4}-\d\d-\d\dT/u) })
  expect((await callerArn(chosen.rootCredential)).stdout).toBe('arn:aws:iam::222222222222:root\n')
  const listed = await json<{ accountId: string; name: string }[]>('list')
  expect(listed.map(({ accountId }) => accountId)).toEqual(expect.arrayContaining(['000000000000', '222222222222', given.account.accountId]))
  expect(await json('describe', '222222222222')).toEqual(listed.find(({ accountId }) => accountId === '222222222222'))
  expect((await account(['list'])).stdout).toMatch(/^account {7}made {8}name\n.*222222222222 {2}\d{4}-\d\d-\d\d {2}Team B$/msu)
})

it('follows the pages of a list', async () => {
  const count = (await json<unknown[]>('list')).length
  // More than a page has.
  for (let index = 0; index < 100; index += 1) await callStowage(stowage.url, stowage.keys, 'CreateAccount', { name: `Many ${index}` })

  expect(await json<unknown[]>('list')).toHaveLength(count + 100)
})

it('goes over TLS, with the authority that the environment names', async () => {
  const secure = await startStowage({ tls: await createCertificate(join(dir.path, 'tls')) })
  const trusted = await account(['list'], secure.awsEnv)
  const untrusted = await account(['list'], { ...secure.awsEnv, AWS_CA_BUNDLE: '' })
  await secure.stop()

  expect(trusted.stdout).toContain('000000000000')
  expect([untrusted.exitCode, untrusted.stderr]).toEqual([1, expect.stringContaining('export AWS_CA_BUNDLE=')])
})

it('prints for people what to paste, and a new key ends the one before', async () => {
  const made = await account(['create', 'Team D', '--account-id', '333333333333'])
  const line = /^ {2}(export AWS_ACCESS_KEY_ID=.*)$/mu.exec(made.stdout)?.[1] ?? ''
  const [, accessKeyId = '', secretAccessKey = ''] = /AWS_ACCESS_KEY_ID=(\S+) AWS_SECRET_ACCESS_KEY='?([^\s']+)/u.exec(line) ?? []
  registerSecret('a secret access key', secretAccessKey)
  const before = { accessKeyId, secretAccessKey }
  expect((await callerArn(before)).stdout).toBe('arn:aws:iam::333333333333:root\n')

  const { rootCredential: after } = await json<WithRootKey>('replace-root-key', '333333333333')

  expect((await callerArn(before)).exitCode).not.toBe(0)
  expect((await callerArn(after)).stdout).toBe('arn:aws:iam::333333333333:root\n')
})

it('tells what is wrong, with the exit codes of the command', async () => {
  const taken = await account(['create', 'Home', '--account-id', '000000000000'])
  const unknown = await account(['describe', '999999999999'])
  const malformed = await account(['describe', '1'])
  const unnamed = await account(['create', ''])
  const nobody = await account(['list'], { AWS_ENDPOINT_URL: 'http://localhost:1' })
  const { rootCredential } = await json<WithRootKey>('create', 'Team E')
  const stranger = await account(['list'], { AWS_ACCESS_KEY_ID: rootCredential.accessKeyId, AWS_SECRET_ACCESS_KEY: rootCredential.secretAccessKey })

  expect([taken.exitCode, taken.stderr]).toEqual([1, expect.stringContaining('AccountAlreadyExistsException')])
  expect([unknown.exitCode, unknown.stderr]).toEqual([1, expect.stringContaining('AccountNotFoundException')])
  expect([malformed.exitCode, malformed.stderr]).toEqual([2, expect.stringContaining('Write 12 digits')])
  expect([unnamed.exitCode, unnamed.stderr]).toEqual([1, expect.stringContaining('InvalidParameterException')])
  expect([nobody.exitCode, nobody.stderr]).toEqual([1, expect.stringContaining('nothing listens at')])
  expect([stranger.exitCode, stranger.stderr]).toEqual([1, expect.stringContaining('is not authorized to perform: stowage:ListAccounts')])
  expect(stranger.stderr).not.toContain('222222222222')
})
