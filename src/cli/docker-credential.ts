import { readAwsEnvironment } from '../config/aws-environment.ts'
import { exitCodes } from '../config/exit-codes.ts'
import { systemClock } from '../internal/clock.ts'
import { systemIds } from '../internal/ids.ts'
import { ownVersion } from '../internal/own-version.ts'
import { readInput, type ProtocolIo } from './registry-password/input.ts'
import { PasswordCache } from './registry-password/password-cache.ts'
import { parseRegistryHost, type RegistryHost } from './registry-password/registry-host.ts'
import { cachedRegistryPassword, type PasswordDependencies } from './registry-password/registry-password.ts'

const usage = `docker-credential-stowage gives docker, podman, skopeo and buildah passwords for Stowage registries, made from AWS
credentials. They call it by themselves once ~/.docker/config.json (or auth.json) says so:

  { "credHelpers": { "registry.example.com": "stowage" } }

Usage: docker-credential-stowage get|store|erase|list|version

  get      read a registry's host, print {"ServerURL","Username","Secret"}
  erase    read a registry's host, forget its passwords (docker logout)
  list     print the registries with a password that is still good
  store    refused: passwords are made here, nobody has to log in

It reads the environment and the files of the aws command: AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN,
AWS_PROFILE, AWS_REGION, AWS_ROLE_ARN with AWS_WEB_IDENTITY_TOKEN_FILE, AWS_ENDPOINT_URL, AWS_CA_BUNDLE. Passwords are
kept in ~/.cache/stowage (XDG_CACHE_HOME) for half of their life.
`

/** What docker takes as "there are none", and goes on without a log-in; any other failure ends its command. */
const notFoundText = 'credentials not found in native keychain'

/** Where docker keeps the log-in of Docker Hub: never a Stowage. */
const dockerHub = /^(?:(?:index|registry-1)\.)?docker\.io$/u

/**
 * The program that docker and its kin run for registries named in `credHelpers`.
 * https://github.com/docker/docker-credential-helpers#development
 */
export async function dockerCredential(words: readonly string[], io: ProtocolIo): Promise<number> {
  const [action, ...rest] = words
  const deps: PasswordDependencies = { environment: readAwsEnvironment(), clock: systemClock, ids: systemIds }
  const cache = new PasswordCache(deps.environment.cacheDir, deps.ids)
  switch (rest.length === 0 ? action : undefined) {
    case 'get':
      return get(io, deps)
    case 'erase': {
      const host = parseRegistryHost((await readInput(io.stdin)) ?? '')
      if (host !== undefined) cache.erase(host.name)
      return exitCodes.ok.code
    }
    case 'list':
      io.stdout.write(`${JSON.stringify(cache.list(deps.clock.now()))}\n`)
      return exitCodes.ok.code
    case 'store':
      await readInput(io.stdin)
      return fail(
        io,
        'passwords are made by this program itself: pull and push without `docker login`.\n  To log in with another password, remove the registry from credHelpers in the configuration of docker.',
      )
    case 'version':
    case '--version':
      io.stdout.write(`docker-credential-stowage ${ownVersion()}\n`)
      return exitCodes.ok.code
    case '--help':
    case '-h':
    case 'help':
      io.stdout.write(usage)
      return exitCodes.ok.code
    default:
      io.stderr.write(usage)
      return exitCodes.usage.code
  }
}

async function get(io: ProtocolIo, deps: PasswordDependencies): Promise<number> {
  const serverUrl = ((await readInput(io.stdin)) ?? '').trim()
  const host: RegistryHost | undefined = parseRegistryHost(serverUrl)
  if (host === undefined || dockerHub.test(host.name)) {
    io.stdout.write(`${notFoundText}\n`)
    return exitCodes.failed.code
  }
  try {
    const { username, secret } = await cachedRegistryPassword(deps, host)
    io.stdout.write(`${JSON.stringify({ ServerURL: serverUrl, Username: username, Secret: secret })}\n`)
    return exitCodes.ok.code
  } catch (error) {
    const { describeFailure } = await import('./failures.ts')
    return fail(io, describeFailure(error).text)
  }
}

/** Callers look for the reason on standard output; docker shows its user standard error, and nothing else. */
function fail(io: ProtocolIo, text: string): number {
  io.stdout.write(`${text.split('\n', 1)[0] ?? text}\n`)
  io.stderr.write(`docker-credential-stowage: ${text}\n`)
  return exitCodes.failed.code
}
