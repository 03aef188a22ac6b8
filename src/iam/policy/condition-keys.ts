import { every, isDigit } from '../../values/characters.ts'

/*
 * The condition keys that Stowage gives a request. A key that is not here is one that no request ever has: a condition on
 * it would hold for everybody where it asks for absence or difference (`StringNotEquals`, `…IfExists`, `Null`,
 * `ForAllValues:`), so a statement that allows under such a condition allows nothing. Who supplies a new key adds it here.
 */
const suppliedKeys: ReadonlySet<string> = new Set(
  [
    'aws:CurrentTime',
    'aws:EpochTime',
    'aws:FederatedProvider',
    'aws:MultiFactorAuthPresent',
    'aws:PrincipalAccount',
    'aws:PrincipalArn',
    'aws:PrincipalIsAWSService',
    'aws:PrincipalType',
    'aws:RequestedRegion',
    'aws:ResourceAccount',
    'aws:SecureTransport',
    'aws:SourceIdentity',
    'aws:SourceIp',
    'aws:TagKeys',
    'aws:TokenIssueTime',
    'aws:UserAgent',
    'aws:ViaAWSService',
    'aws:userid',
    'aws:username',
    'cloudwatch:namespace',
    'ecr:AccountSetting',
    'events:TargetArn',
    'iam:PassedToService',
    'iam:PermissionsBoundary',
    'iam:PolicyARN',
    'stowage:ImageTag',
    'sts:DurationSeconds',
    'sts:ExternalId',
    'sts:RoleSessionName',
    'sts:SourceIdentity',
    'sts:TransitiveTagKeys',
  ].map((key) => key.toLowerCase()),
)

/** Families of keys: the rest of the name is a tag's key. */
const suppliedPrefixes: readonly string[] = [
  'aws:principaltag/',
  'aws:requesttag/',
  'aws:resourcetag/',
  'ecr:resourcetag/',
  'iam:resourcetag/',
]

/** Whether requests may have the key, given in lower case. */
export function isSuppliedKey(lowerCaseKey: string): boolean {
  return suppliedKeys.has(lowerCaseKey) || isNamedByOthers(lowerCaseKey)
}

/** Whether the key ends in a name that somebody gave a tag or a claim, so that there may be two that differ in case only. */
export function isNamedByOthers(lowerCaseKey: string): boolean {
  return (
    suppliedPrefixes.some((prefix) => lowerCaseKey.length > prefix.length && lowerCaseKey.startsWith(prefix)) || isIssuerClaim(lowerCaseKey)
  )
}

/**
 * A claim of a web identity: the issuer's URL without its scheme, a colon and the claim's name, such as
 * `token.actions.githubusercontent.com:sub`. The prefix of a service's keys has neither a dot nor a slash nor a port.
 */
function isIssuerClaim(lowerCaseKey: string): boolean {
  const colon = lowerCaseKey.lastIndexOf(':')
  if (colon < 1 || colon === lowerCaseKey.length - 1) return false
  const issuer = lowerCaseKey.slice(0, colon)
  const slash = issuer.indexOf('/')
  const authority = slash === -1 ? issuer : issuer.slice(0, slash)
  const portAt = authority.lastIndexOf(':')
  if (portAt !== -1) return portAt > 0 && portAt < authority.length - 1 && every(authority, isDigit, portAt + 1)
  return slash > 0 || authority.includes('.') || authority === 'localhost'
}
