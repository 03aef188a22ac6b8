import { readAwsEnvironment } from '../config/aws-environment.ts'
import { exitCodes } from '../config/exit-codes.ts'
import { systemClock } from '../internal/clock.ts'
import { systemIds } from '../internal/ids.ts'
import { ownVersion } from '../internal/own-version.ts'
import type { WebIdentity } from './aws/credentials.ts'
import { awsClientError } from './aws/errors.ts'
import { readInput, type ProtocolIo } from './registry-password/input.ts'
import { registryHostOfImage } from './registry-password/registry-host.ts'
import { fetchRegistryPassword, type PasswordDependencies } from './registry-password/registry-password.ts'

const usage = `stowage-kubelet-credential-provider gives kubelets passwords for Stowage registries. A kubelet runs it, with a request on
standard input, where its CredentialProviderConfig names it:

  apiVersion: kubelet.config.k8s.io/v1
  kind: CredentialProviderConfig
  providers:
    - name: stowage-kubelet-credential-provider
      apiVersion: credentialprovider.kubelet.k8s.io/v1
      matchImages: ["registry.example.com"]
      defaultCacheDuration: 1h
      env:
        - { name: AWS_REGION, value: us-east-1 }
      tokenAttributes:
        serviceAccountTokenAudience: sts.amazonaws.com
        cacheType: Token
        requireServiceAccount: true
        requiredServiceAccountAnnotationKeys: ["stowage/role-arn"]

With tokenAttributes each pod pulls as the role in its service account's annotation stowage/role-arn (or
eks.amazonaws.com/role-arn, or AWS_ROLE_ARN of the configuration). Without, the node pulls as whoever the AWS settings
in \`env\` stand for. docs/operations/kubernetes.md shows both.
`

const apiVersion = 'credentialprovider.kubelet.k8s.io/v1'

/** The first that the service account has; kubelets send only those that their configuration names. */
const roleAnnotations = ['stowage/role-arn', 'eks.amazonaws.com/role-arn'] as const

interface CredentialProviderRequest {
  readonly image: string
  readonly serviceAccountToken: string | undefined
  readonly annotations: Readonly<Record<string, unknown>>
}

/**
 * Answers one request of a kubelet. What goes wrong is told on standard error, which the kubelet logs.
 * https://kubernetes.io/docs/reference/config-api/kubelet-credentialprovider.v1/
 */
export async function kubeletCredential(words: readonly string[], io: ProtocolIo): Promise<number> {
  const [word] = words
  if (word === '--version' || word === '--help' || word === '-h') {
    io.stdout.write(word === '--version' ? `stowage-kubelet-credential-provider ${ownVersion()}\n` : usage)
    return exitCodes.ok.code
  }
  if (word !== undefined) {
    io.stderr.write(usage)
    return exitCodes.usage.code
  }
  const request = parseRequest((await readInput(io.stdin)) ?? '')
  if (typeof request === 'string') return fail(io, request, exitCodes.usage.code)
  const deps: PasswordDependencies = { environment: readAwsEnvironment(), clock: systemClock, ids: systemIds }
  try {
    io.stdout.write(`${JSON.stringify(await respond(deps, request))}\n`)
    return exitCodes.ok.code
  } catch (error) {
    const { describeFailure } = await import('./failures.ts')
    const failure = describeFailure(error)
    return fail(io, failure.text, failure.exitCode)
  }
}

async function respond(deps: PasswordDependencies, request: CredentialProviderRequest): Promise<object> {
  const host = registryHostOfImage(request.image)
  // A name without a host is Docker Hub's, whatever matchImages says.
  if (host === undefined) return response('0s', {})
  const { secret, username, expiresAt } = await fetchRegistryPassword(deps, host, webIdentityOf(deps, request))
  // The kubelet keeps it in memory: half of its life leaves the other half to a slow pull.
  const cacheSeconds = Math.max(0, Math.floor((expiresAt - deps.clock.now()) / 2_000))
  return response(`${cacheSeconds}s`, { [host.name]: { username, password: secret } })
}

function response(cacheDuration: string, auth: Readonly<Record<string, { username: string; password: string }>>): object {
  return { apiVersion, kind: 'CredentialProviderResponse', cacheKeyType: 'Registry', cacheDuration, auth }
}

/** Undefined where the kubelet sends no service account's token: the node itself then pulls. */
function webIdentityOf({ environment }: PasswordDependencies, request: CredentialProviderRequest): WebIdentity | undefined {
  const { serviceAccountToken: token, annotations } = request
  if (token === undefined) return undefined
  const annotated = roleAnnotations.map((name) => annotations[name]).find((value): value is string => typeof value === 'string' && value !== '')
  const roleArn = annotated ?? environment.roleArn
  if (roleArn === undefined) throw missingRole()
  return { roleArn, token, sessionName: sessionNameOf(token) }
}

function missingRole(): Error {
  return awsClientError(
    'aws-credentials-missing',
    `the request has a service account's token, and no role to take with it.\n  Annotate the service account (kubectl annotate serviceaccount NAME ${roleAnnotations[0]}=arn:aws:iam::…:role/…) and name the annotation in requiredServiceAccountAnnotationKeys, or set AWS_ROLE_ARN in the provider's env.`,
  )
}

/** The pod's service account, for audit records; STS alone decides what the token is worth. */
function sessionNameOf(token: string): string {
  const [namespace, name] = serviceAccountOf(token)
  const text = namespace === undefined || name === undefined ? 'kubelet' : `${namespace}.${name}`
  // What STS takes as a session's name.
  return text.replaceAll(/[^\w+=,.@-]/gu, '-').slice(0, 64)
}

function serviceAccountOf(token: string): readonly (string | undefined)[] {
  try {
    const claims = JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString('utf8')) as { sub?: unknown }
    return /^system:serviceaccount:([^:]+):([^:]+)$/u.exec(String(claims.sub))?.slice(1) ?? []
  } catch {
    return []
  }
}

/** A request, or what is wrong with it. Nothing of it is repeated: it may hold a token. */
function parseRequest(text: string): CredentialProviderRequest | string {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    return 'standard input holds no CredentialProviderRequest: a kubelet runs this program (add --help)'
  }
  if (typeof value !== 'object' || value === null) return 'the request is no JSON object'
  const { apiVersion: version, kind, image, serviceAccountToken, serviceAccountAnnotations } = value as Readonly<Record<string, unknown>>
  if (kind !== 'CredentialProviderRequest') return "the request's kind is not CredentialProviderRequest"
  if (version !== apiVersion) return `the request's apiVersion is not ${apiVersion}: set it in the kubelet's CredentialProviderConfig`
  if (typeof image !== 'string') return 'the request names no image'
  return {
    image,
    serviceAccountToken: typeof serviceAccountToken === 'string' && serviceAccountToken !== '' ? serviceAccountToken : undefined,
    annotations: typeof serviceAccountAnnotations === 'object' && serviceAccountAnnotations !== null ? { ...serviceAccountAnnotations } : {},
  }
}

function fail(io: ProtocolIo, text: string, exitCode: number): number {
  io.stderr.write(`stowage-kubelet-credential-provider: ${text}\n`)
  return exitCode
}
