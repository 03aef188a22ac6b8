import { hash } from 'node:crypto'
import type { Brand } from './brand.ts'
import { every, isLowerHex } from './characters.ts'
import { quoted, valueError } from './errors.ts'

/** `sha256:` and 64, or `sha512:` and 128 lower-case hexadecimal digits. OCI image-spec, descriptor.md, "Digests". */
export type Digest = Brand<string, 'Digest'>

export type DigestAlgorithm = 'sha256' | 'sha512'

/** The hash's length, and the byte that stands for the algorithm where digests are stored. Never renumber these. */
const algorithms = {
  sha256: { prefix: 'sha256:', hashBytes: 32, code: 1 },
  sha512: { prefix: 'sha512:', hashBytes: 64, code: 2 },
} as const satisfies Record<DigestAlgorithm, { prefix: `${DigestAlgorithm}:`; hashBytes: number; code: number }>

/**
 * Upper-case digits are refused, not folded: two spellings of one digest would be two keys.
 *
 * @throws `digest-invalid`
 */
export function parseDigest(text: string): Digest {
  const colon = text.indexOf(':')
  const name = colon === -1 ? '' : text.slice(0, colon)
  if (name === '') throw invalid(text, 'A digest is an algorithm, a colon and a hexadecimal hash.')
  if (name !== 'sha256' && name !== 'sha512') {
    throw invalid(text, 'The digest algorithm is not supported: it has to be sha256 or sha512.')
  }
  const digits = algorithms[name].hashBytes * 2
  if (text.length !== colon + 1 + digits || !every(text, isLowerHex, colon + 1)) {
    throw invalid(text, `The hash of a ${name} digest is ${digits} lower-case hexadecimal digits.`)
  }
  return text as Digest
}

/** True for what `parseDigest` accepts. */
export function isDigest(text: string): text is Digest {
  for (const { prefix, hashBytes } of Object.values(algorithms)) {
    if (text.startsWith(prefix)) {
      return text.length === prefix.length + hashBytes * 2 && every(text, isLowerHex, prefix.length)
    }
  }
  return false
}

export function digestAlgorithm(digest: Digest): DigestAlgorithm {
  return digest.startsWith(algorithms.sha256.prefix) ? 'sha256' : 'sha512'
}

/** The hash alone, in lower-case hexadecimal. */
export function digestHex(digest: Digest): string {
  return digest.slice(algorithms[digestAlgorithm(digest)].prefix.length)
}

/** The stored form: one byte for the algorithm (1 = sha256, 2 = sha512), then the raw hash. */
export function digestToBytes(digest: Digest): Buffer {
  const { code, hashBytes } = algorithms[digestAlgorithm(digest)]
  const bytes = Buffer.alloc(1 + hashBytes)
  bytes[0] = code
  bytes.write(digestHex(digest), 1, 'hex')
  return bytes
}

/**
 * Reads the form that `digestToBytes` writes.
 *
 * @throws `digest-invalid`
 */
export function digestFromBytes(bytes: Uint8Array): Digest {
  for (const { prefix, hashBytes, code } of Object.values(algorithms)) {
    if (bytes[0] === code && bytes.length === 1 + hashBytes) {
      const view = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
      return (prefix + view.toString('hex', 1)) as Digest
    }
  }
  throw valueError('digest-invalid', 'The bytes are not a stored digest.', { sizeBytes: bytes.length })
}

/**
 * Reads the form that `digestToBytes` writes, in lower-case hexadecimal: a string is made and forgotten more cheaply than bytes, where
 * there are very many.
 *
 * @throws `digest-invalid`
 */
export function digestFromHex(hex: string): Digest {
  for (const { prefix, hashBytes, code } of Object.values(algorithms)) {
    if (hex.startsWith(`0${code}`) && hex.length === 2 + 2 * hashBytes) return (prefix + hex.slice(2)) as Digest
  }
  throw valueError('digest-invalid', 'The text is not a stored digest.', { length: hex.length })
}

/** Hashes bytes that are already in memory; streams and files are hashed where they are written. */
export function digestOf(bytes: Uint8Array, algorithm: DigestAlgorithm = 'sha256'): Digest {
  return (algorithms[algorithm].prefix + hash(algorithm, bytes, 'hex')) as Digest
}

function invalid(text: string, message: string): Error {
  return valueError('digest-invalid', message, { digest: quoted(text) })
}
