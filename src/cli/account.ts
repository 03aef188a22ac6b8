import { readAwsEnvironment } from '../config/aws-environment.ts'
import { exitCodes } from '../config/exit-codes.ts'
import { createAwsAccess, type AwsAccess } from './aws/access.ts'
import { resolveAwsSettings, type AwsOptions } from './aws/settings.ts'
import { callStowage } from './aws/stowage-service.ts'
import { exportLine } from './command-line.ts'
import type { CommandIo } from './command-io.ts'

export interface AccountOptions extends AwsOptions {
  readonly json: boolean
}

/** As the service answers it. */
interface Account {
  readonly accountId: string
  readonly name: string | undefined
  /** Seconds since the Unix epoch. */
  readonly createdAt: number
}

interface AccountWithRootKey {
  readonly account: Account
  readonly rootCredential: { readonly accessKeyId: string; readonly secretAccessKey: string }
}

/** Makes an account. Its root's access key is in the answer and nowhere else. */
export async function createAccount(io: CommandIo, options: AccountOptions & { readonly name: string; readonly accountId: string | undefined }): Promise<number> {
  const { access, call } = await connect(options)
  const { name, accountId } = options
  const made = (await call('CreateAccount', { name, ...(accountId !== undefined && { accountId }) })) as unknown as AccountWithRootKey
  return showRootKey(io, options, access, made, 'is made')
}

/** Gives an account's root a new access key in the place of the old one. */
export async function replaceRootKey(io: CommandIo, options: AccountOptions & { readonly accountId: string }): Promise<number> {
  const { access, call } = await connect(options)
  const made = (await call('ReplaceRootCredential', { accountId: options.accountId })) as unknown as AccountWithRootKey
  return showRootKey(io, options, access, made, 'has a new root access key; the old one has ended')
}

export async function describeAccount(io: CommandIo, options: AccountOptions & { readonly accountId: string }): Promise<number> {
  const { call } = await connect(options)
  const { account } = (await call('DescribeAccount', { accountId: options.accountId })) as unknown as { account: Account }
  io.stdout.write(options.json ? jsonText(forPeople(account)) : tableText([account]))
  return exitCodes.ok.code
}

export async function listAccounts(io: CommandIo, options: AccountOptions): Promise<number> {
  const { call } = await connect(options)
  const accounts: Account[] = []
  let nextToken: string | undefined
  do {
    const page = (await call('ListAccounts', { ...(nextToken !== undefined && { nextToken }) })) as unknown as { accounts: Account[]; nextToken?: string }
    accounts.push(...page.accounts)
    nextToken = page.nextToken
  } while (nextToken !== undefined)
  io.stdout.write(options.json ? jsonText(accounts.map(forPeople)) : tableText(accounts))
  return exitCodes.ok.code
}

type StowageCall = (operation: string, input: object) => ReturnType<typeof callStowage>

async function connect(options: AwsOptions): Promise<{ access: AwsAccess; call: StowageCall }> {
  const access = createAwsAccess(await resolveAwsSettings(readAwsEnvironment(), options))
  return { access, call: (operation, input) => callStowage(access, operation, input) }
}

function showRootKey(io: CommandIo, { json }: AccountOptions, access: AwsAccess, made: AccountWithRootKey, what: string): number {
  const { account, rootCredential } = made
  if (json) {
    io.stdout.write(jsonText({ account: forPeople(account), rootCredential }))
    return exitCodes.ok.code
  }
  const { accessKeyId, secretAccessKey } = rootCredential
  const region = access.settings.region ?? 'us-east-1'
  io.stdout.write(
    [
      `Account ${account.accountId}${account.name === undefined ? '' : ` (${account.name})`} ${what}.`,
      '',
      'Next (the secret access key is shown this once):',
      '',
      `  ${exportLine({ AWS_ENDPOINT_URL: access.endpointOf('stowage'), AWS_REGION: region, AWS_DEFAULT_REGION: region })}`,
      `  ${exportLine({ AWS_ACCESS_KEY_ID: accessKeyId, AWS_SECRET_ACCESS_KEY: secretAccessKey })}`,
      '  stowage iam quickstart ci-pusher',
      '',
    ].join('\n'),
  )
  return exitCodes.ok.code
}

function forPeople({ accountId, name, createdAt }: Account): object {
  return { accountId, name: name ?? null, createdAt: new Date(createdAt * 1000).toISOString() }
}

function jsonText(value: unknown): string {
  return `${JSON.stringify(value, null, 2)}\n`
}

function tableText(accounts: readonly Account[]): string {
  const rows = accounts.map(({ accountId, name = '', createdAt }) => `${accountId}  ${new Date(createdAt * 1000).toISOString().slice(0, 10)}  ${name}`.trimEnd())
  return `${['account       made        name', ...rows].join('\n')}\n`
}
