import { PlatformError, type ErrorDetail } from '../../internal/platform-error.ts'

/** What keeps the command from getting an answer of a server. Each message says what to do next. */
export const awsClientErrorCodes = [
  'aws-settings-invalid',
  'aws-endpoint-missing',
  'aws-region-missing',
  'aws-credentials-missing',
  'aws-unreachable',
  'aws-refused',
] as const

export type AwsClientErrorCode = (typeof awsClientErrorCodes)[number]

export function awsClientError(
  code: AwsClientErrorCode,
  message: string,
  options: { detail?: ErrorDetail; cause?: unknown } = {},
): PlatformError<AwsClientErrorCode> {
  return new PlatformError(code, message, options)
}

/** What an answer or a failed connection is, told to whoever called. Never holds a secret: servers do not send them back. */
export function toAwsClientError(error: unknown, endpoint: string): unknown {
  if (error instanceof PlatformError) return error
  if (!(error instanceof Error)) return error
  const { $metadata: metadata, name, message } = error as Error & { $metadata?: { httpStatusCode?: number } }
  const code = connectionCode(error)
  if (code !== undefined) return awsClientError('aws-unreachable', connectionText(code, endpoint), { detail: { code, endpoint }, cause: error })
  if (metadata?.httpStatusCode === undefined) return error
  return awsClientError('aws-refused', refusalText(name, message, endpoint), {
    detail: { name, status: metadata.httpStatusCode, endpoint, serverMessage: message },
    cause: error,
  })
}

const certificateCodes = new Set([
  'DEPTH_ZERO_SELF_SIGNED_CERT',
  'SELF_SIGNED_CERT_IN_CHAIN',
  'UNABLE_TO_GET_ISSUER_CERT',
  'UNABLE_TO_GET_ISSUER_CERT_LOCALLY',
  'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
])

/** The system's or TLS's code of a connection that did not come about; SDKs wrap it. */
function connectionCode(error: Error): string | undefined {
  const { code, cause } = error as Error & { code?: unknown; cause?: unknown }
  if (typeof code === 'string' && /^(?:E[A-Z]+|CERT_[A-Z_]+|ERR_TLS_[A-Z_]+|ERR_SSL_[A-Z_\d]+|DEPTH_[A-Z_]+|SELF_[A-Z_]+|UNABLE_[A-Z_]+|HOSTNAME_[A-Z_]+)$/u.test(code)) {
    return code
  }
  if (error.name === 'TimeoutError') return 'ETIMEDOUT'
  return cause instanceof Error ? connectionCode(cause) : undefined
}

function connectionText(code: string, endpoint: string): string {
  if (certificateCodes.has(code)) {
    return `the certificate of ${endpoint} is of an authority that this machine does not trust (${code}).\n  Name the authority's certificate: export AWS_CA_BUNDLE=/path/to/ca.crt   (\`stowage trust\` on the server shows it)`
  }
  switch (code) {
    case 'ECONNREFUSED':
      return `nothing listens at ${endpoint}.\n  Start the server, or say where it is: export AWS_ENDPOINT_URL=https://registry.example.com`
    case 'ENOTFOUND':
    case 'EAI_AGAIN':
      return `the host name of ${endpoint} cannot be looked up (${code}).\n  Check the name, or say where the server is: export AWS_ENDPOINT_URL=https://registry.example.com`
    case 'ERR_TLS_CERT_ALTNAME_INVALID':
      return `the certificate of ${endpoint} is for another name.\n  Use one of the names in it, or give the server a certificate for this one.`
    case 'CERT_HAS_EXPIRED':
      return `the certificate of ${endpoint} has expired.\n  Renew it on the server; check this machine's clock.`
    case 'EPROTO':
    case 'ERR_SSL_WRONG_VERSION_NUMBER':
      return `${endpoint} does not speak TLS.\n  If the server serves plain HTTP, say so: export AWS_ENDPOINT_URL=${endpoint.replace(/^https:/u, 'http:')}`
    case 'ETIMEDOUT':
      return `${endpoint} does not answer in time.\n  Check that it is reachable from here, and the proxy (HTTPS_PROXY, NO_PROXY) if there is one.`
    default:
      return `${endpoint} cannot be reached (${code}).`
  }
}

function refusalText(name: string, message: string, endpoint: string): string {
  switch (name) {
    case 'InvalidClientTokenId':
    case 'UnrecognizedClientException':
      return `${endpoint} does not know this access key: ${message}\n  Check AWS_ACCESS_KEY_ID or the profile; it may have been deleted, or belong to another server.`
    case 'InvalidSignatureException':
    case 'SignatureDoesNotMatch':
      return `${endpoint} does not accept the signature: ${message}\n  Check AWS_SECRET_ACCESS_KEY, and this machine's clock.`
    case 'ExpiredToken':
    case 'ExpiredTokenException':
      return `the temporary credentials have expired: ${message}\n  Get new ones, and try again.`
    case 'AccessDenied':
    case 'AccessDeniedException':
      return `${message}\n  Ask whoever manages access for a policy that allows it: docs/operations/who-may-do-what.md`
    default:
      return `${name}: ${message}`
  }
}
