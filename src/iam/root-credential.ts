import type { IdSource } from '../internal/ids.ts'
import { iamSetupError } from './errors.ts'

/** An access key of an account's root. */
export interface RootCredential {
  readonly accessKeyId: string
  readonly secretAccessKey: string
}

/** What the environment gives for it, and under which names: the names appear in the error texts. */
export interface RootCredentialSettings {
  readonly accessKeyId: { readonly name: string; readonly value: string | undefined }
  readonly secretAccessKey: { readonly name: string; readonly value: string | undefined }
}

const base32 = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567'

/** A key like those AWS gives out: `AKIA` and 16 characters of base32, and a secret of 240 random bits in base64. */
export function generateRootCredential(ids: IdSource): RootCredential {
  let accessKeyId = 'AKIA'
  for (const byte of ids.bytes(16)) accessKeyId += base32.charAt(byte % base32.length)
  return { accessKeyId, secretAccessKey: ids.bytes(30).toString('base64') }
}

/**
 * The credential that the environment gives, or undefined where it gives none.
 *
 * @throws `root-credential-invalid`. Its text never holds either value: they may have been given the wrong way round.
 */
export function parseRootCredential(settings: RootCredentialSettings): RootCredential | undefined {
  const accessKeyId = settings.accessKeyId.value ?? ''
  const secretAccessKey = settings.secretAccessKey.value ?? ''
  const idName = settings.accessKeyId.name
  const secretName = settings.secretAccessKey.name
  if (accessKeyId === '' && secretAccessKey === '') return undefined
  if (accessKeyId === '') throw invalid(`${secretName} is set, but ${idName} is not: give both or neither.`)
  if (secretAccessKey === '') throw invalid(`${idName} is set, but ${secretName} is not: give both or neither.`)
  // The AWS SDKs and docker take ids of this form only; a colon, for one, would end docker's user name.
  if (!/^[A-Z0-9]{16,128}$/.test(accessKeyId)) {
    throw invalid(`${idName} must be 16 to 128 upper-case letters and digits.`)
  }
  if (secretAccessKey.length < 16) throw invalid(`${secretName} must have at least 16 characters.`)
  if (secretAccessKey.length > 1_024) throw invalid(`${secretName} must have at most 1024 characters.`)
  // A line break left by `$(cat file)` or an editor would make every signature wrong and nobody see why.
  if (!/^[\x21-\x7e]+$/.test(secretAccessKey)) {
    throw invalid(`${secretName} must be printable ASCII without spaces or line breaks.`)
  }
  if (secretAccessKey === accessKeyId) throw invalid(`${secretName} must differ from ${idName}.`)
  return { accessKeyId, secretAccessKey }
}

function invalid(message: string): Error {
  return iamSetupError('root-credential-invalid', message)
}
