import { parseAccountId, parseRegion, type AccountId, type Region } from './account.ts'
import type { Brand } from './brand.ts'
import { every, isLowerAlphanumeric } from './characters.ts'
import { quoted, valueError } from './errors.ts'
import type { RepositoryName } from './repository-name.ts'

/** The Amazon Resource Name of one thing: `arn:partition:service:region:account:resource`. Not a pattern. */
export type Arn = Brand<string, 'Arn'>

export interface ArnParts {
  /** `aws`, or one that starts with `aws-`. */
  readonly partition: string
  readonly service: string
  /** Absent for services without regions, such as IAM. */
  readonly region: Region | undefined
  /** Absent for resources without an owner in their name; `aws` for what AWS itself owns, such as managed policies. */
  readonly accountId: AccountId | 'aws' | undefined
  /** Everything behind the fifth colon; it may hold colons and slashes. */
  readonly resource: string
}

/** IAM's own limit for an ARN. */
const maxLength = 2048

const dash = 0x2d

/** @throws `arn-invalid` */
export function parseArn(text: string): Arn {
  splitArn(text)
  return text as Arn
}

/** An ARN's parts, as `parseArn` has checked them. */
export function arnParts(arn: Arn): ArnParts {
  return splitArn(arn)
}

export function repositoryArn(region: Region, accountId: AccountId, name: RepositoryName): Arn {
  return `arn:aws:ecr:${region}:${accountId}:repository/${name}` as Arn
}

/** The account itself as a principal: its root user. */
export function rootArn(accountId: AccountId): Arn {
  return `arn:aws:iam::${accountId}:root` as Arn
}

/** The ARN of something with a name in an account. A path begins and ends with a slash. */
export function iamArn(accountId: AccountId, kind: 'user' | 'group' | 'role' | 'policy', path: string, name: string): Arn {
  return `arn:aws:iam::${accountId}:${kind}${path}${name}` as Arn
}

/** The ARN of an OpenID Connect provider; `url` is without its scheme. */
export function oidcProviderArn(accountId: AccountId, url: string): Arn {
  return `arn:aws:iam::${accountId}:oidc-provider/${url}` as Arn
}

function splitArn(text: string): ArnParts {
  if (text.length > maxLength) throw invalid(text, `An ARN has at most ${maxLength} characters.`)
  const [prefix, partition, service, region, accountId, ...rest] = text.split(':')
  const resource = rest.join(':')
  if (
    prefix !== 'arn' ||
    partition === undefined ||
    service === undefined ||
    region === undefined ||
    accountId === undefined ||
    resource === ''
  ) {
    throw invalid(text, 'An ARN is arn:partition:service:region:account:resource.')
  }
  if ((partition !== 'aws' && !partition.startsWith('aws-')) || !every(partition, isNameCharacter)) {
    throw invalid(text, 'The partition of an ARN is aws or starts with aws-.')
  }
  if (service === '' || !every(service, isNameCharacter)) {
    throw invalid(text, 'The service of an ARN is lower-case letters, digits and "-".')
  }
  if (!every(resource, isPrintable)) throw invalid(text, 'The resource of an ARN has no control characters.')
  return {
    partition,
    service,
    region: region === '' ? undefined : within(text, region, parseRegion),
    accountId: accountId === '' ? undefined : accountId === 'aws' ? 'aws' : within(text, accountId, parseAccountId),
    resource,
  }
}

function within<Part>(arn: string, part: string, parse: (text: string) => Part): Part {
  try {
    return parse(part)
  } catch (error) {
    throw valueError('arn-invalid', error instanceof Error ? error.message : 'A part of the ARN is invalid.', {
      arn: quoted(arn),
    })
  }
}

function isNameCharacter(unit: number): boolean {
  return isLowerAlphanumeric(unit) || unit === dash
}

/** No C0 or C1 control characters: an ARN is written into headers, logs and events. */
function isPrintable(unit: number): boolean {
  return unit >= 0x20 && (unit < 0x7f || unit > 0x9f)
}

function invalid(text: string, message: string): Error {
  return valueError('arn-invalid', message, { arn: quoted(text) })
}
