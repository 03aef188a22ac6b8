import 'reflect-metadata'
import { createPrivateKey, X509Certificate as NodeCertificate } from 'node:crypto'
import { mkdir, open, readFile, rename } from 'node:fs/promises'
import { isIP } from 'node:net'
import { dirname } from 'node:path'
import {
  AuthorityKeyIdentifierExtension,
  BasicConstraintsExtension,
  ExtendedKeyUsage,
  ExtendedKeyUsageExtension,
  KeyUsageFlags,
  KeyUsagesExtension,
  PemConverter,
  SubjectAlternativeNameExtension,
  SubjectKeyIdentifierExtension,
  X509Certificate,
  X509CertificateGenerator,
  type JsonGeneralName,
} from '@peculiar/x509'
import { selfSignedPaths, type Config, type SelfSignedPaths } from '../config/index.ts'
import type { Clock } from '../internal/clock.ts'
import type { IdSource } from '../internal/ids.ts'

const day = 24 * 60 * 60 * 1000

/** Clients learn to trust the authority once, by hand: it should outlive the machine. */
const authorityLifetimeMs = 3650 * day

/** Apple's clients refuse server certificates of more than 398 days, whoever issued them. */
const serverLifetimeMs = 397 * day

/** A certificate with less than this left is made anew. */
const renewBeforeMs = 30 * day

/** For clients whose clock is behind. */
const backdateMs = 60 * 60 * 1000

const keyAlgorithm = { name: 'ECDSA', namedCurve: 'P-256' }
const signingAlgorithm = { name: 'ECDSA', hash: 'SHA-256' }

type CryptoKey = Awaited<ReturnType<typeof crypto.subtle.importKey>>

interface Issuer {
  readonly certificate: X509Certificate
  readonly key: CryptoKey
}

export interface SelfSignedOptions {
  readonly dataDir: string
  readonly names: readonly string[]
  readonly clock: Clock
  readonly ids: IdSource
}

/** The host names and addresses that a server of this configuration is reached by. */
export function selfSignedNames(config: Pick<Config, 'listen' | 'publicUrl' | 'registryDomain' | 'region'>, hostname: string): readonly string[] {
  const names = ['localhost', '127.0.0.1', '::1', hostname.toLowerCase()]
  if (!['0.0.0.0', '::'].includes(config.listen.host)) names.push(config.listen.host)
  if (config.publicUrl !== undefined) names.push(new URL(config.publicUrl).hostname.replace(/^\[|\]$/gu, ''))
  if (config.registryDomain !== undefined) {
    const { region, registryDomain } = config
    names.push(registryDomain, `*.dkr.ecr.${region}.${registryDomain}`, `api.ecr.${region}.${registryDomain}`, `sts.${region}.${registryDomain}`)
  }
  return [...new Set(names)].filter((name) => isIP(name) !== 0 || isDnsName(name))
}

/** A certificate cannot name what is no host name, as some machines are called. */
function isDnsName(name: string): boolean {
  return name.length <= 253 && /^(?:\*\.)?[a-z0-9]([a-z0-9-]{0,62})(\.[a-z0-9][a-z0-9-]{0,62})*$/u.test(name)
}

/**
 * Makes what is missing of the installation's own authority and server certificate in `<data>/tls/`, keys readable
 * by the owner only. The authority stays as long as it lasts, so that clients keep trusting it; the server's
 * certificate is made anew when it nears its end, or lacks one of `names`. Answers whether one was.
 */
export async function ensureSelfSigned(options: SelfSignedOptions): Promise<{ paths: SelfSignedPaths; issued: boolean }> {
  const paths = selfSignedPaths(options.dataDir)
  await mkdir(paths.dir, { recursive: true, mode: 0o700 })
  const kept = await readAuthority(paths, options.clock)
  const authority = kept ?? (await createAuthority(paths, options))
  if (kept !== undefined && (await isServerCertificateGood(paths, authority, options))) return { paths, issued: false }
  await createServerCertificate(paths, authority, options)
  return { paths, issued: true }
}

async function readAuthority(paths: SelfSignedPaths, clock: Clock): Promise<Issuer | undefined> {
  const certText = await readIfThere(paths.caCertFile)
  const keyText = await readIfThere(paths.caKeyFile)
  if (certText === undefined || keyText === undefined) return undefined
  // A crash between the writing of the two leaves a pair that does not match.
  if (!isPair(certText, keyText)) return undefined
  const certificate = new X509Certificate(certText)
  // It must outlive what it signs.
  if (certificate.notAfter.getTime() < clock.now() + serverLifetimeMs) return undefined
  const der = PemConverter.decodeFirst(keyText)
  const key = await crypto.subtle.importKey('pkcs8', der, keyAlgorithm, false, ['sign'])
  return { certificate, key }
}

async function createAuthority(paths: SelfSignedPaths, { clock, ids }: SelfSignedOptions): Promise<Issuer> {
  const keys = await crypto.subtle.generateKey(keyAlgorithm, true, ['sign', 'verify'])
  const certificate = await X509CertificateGenerator.createSelfSigned({
    serialNumber: serialNumber(ids),
    // The number tells the authorities of several installations apart in a trust store.
    name: [{ O: ['Stowage'] }, { CN: [`Stowage ${ids.bytes(4).toString('hex')}`] }],
    notBefore: new Date(clock.now() - backdateMs),
    notAfter: new Date(clock.now() + authorityLifetimeMs),
    signingAlgorithm,
    keys,
    extensions: [
      new BasicConstraintsExtension(true, 0, true),
      new KeyUsagesExtension(KeyUsageFlags.keyCertSign | KeyUsageFlags.cRLSign, true),
      await SubjectKeyIdentifierExtension.create(keys.publicKey),
    ],
  })
  await replaceFile(paths.caKeyFile, await privateKeyPem(keys.privateKey), 0o600, ids)
  await replaceFile(paths.caCertFile, `${certificate.toString('pem')}\n`, 0o644, ids)
  return { certificate, key: keys.privateKey }
}

/** False also for files that hold something else: they are replaced. */
function isPair(certText: string, keyText: string): boolean {
  try {
    return new NodeCertificate(certText).checkPrivateKey(createPrivateKey(keyText))
  } catch {
    return false
  }
}

async function isServerCertificateGood(paths: SelfSignedPaths, authority: Issuer, { clock, names }: SelfSignedOptions): Promise<boolean> {
  const text = await readIfThere(paths.certFile)
  const keyText = await readIfThere(paths.keyFile)
  if (text === undefined || keyText === undefined || !isPair(text, keyText)) return false
  const certificate = new NodeCertificate(text)
  const authorityKey = new NodeCertificate(authority.certificate.toString('pem')).publicKey
  return (
    certificate.verify(authorityKey) &&
    certificate.validToDate.getTime() - clock.now() > renewBeforeMs &&
    certificate.validFromDate.getTime() <= clock.now() &&
    names.every((name) => (isIP(name) === 0 ? certificate.checkHost(name.replace(/^\*\./u, 'any.')) : certificate.checkIP(name)) !== undefined)
  )
}

async function createServerCertificate(paths: SelfSignedPaths, authority: Issuer, { clock, ids, names }: SelfSignedOptions): Promise<void> {
  const keys = await crypto.subtle.generateKey(keyAlgorithm, true, ['sign', 'verify'])
  const certificate = await X509CertificateGenerator.create({
    serialNumber: serialNumber(ids),
    subject: [{ CN: ['Stowage server'] }],
    issuer: authority.certificate.subjectName,
    notBefore: new Date(clock.now() - backdateMs),
    notAfter: new Date(clock.now() + serverLifetimeMs),
    signingAlgorithm,
    publicKey: keys.publicKey,
    signingKey: authority.key,
    extensions: [
      new BasicConstraintsExtension(false, undefined, true),
      new KeyUsagesExtension(KeyUsageFlags.digitalSignature, true),
      new ExtendedKeyUsageExtension([ExtendedKeyUsage.serverAuth], false),
      new SubjectAlternativeNameExtension(names.map(alternativeName), false),
      // Strict verifiers (RFC 5280 §4.2.1.1, and Python's default since 3.13) ask for both identifiers.
      await AuthorityKeyIdentifierExtension.create(authority.certificate),
      await SubjectKeyIdentifierExtension.create(keys.publicKey),
    ],
  })
  await replaceFile(paths.keyFile, await privateKeyPem(keys.privateKey), 0o600, ids)
  await replaceFile(paths.certFile, `${certificate.toString('pem')}\n`, 0o644, ids)
}

function alternativeName(name: string): JsonGeneralName {
  return isIP(name) === 0 ? { type: 'dns', value: name } : { type: 'ip', value: name }
}

/** Positive and of 16 bytes: the first bit is clear and the first byte is not 0 (RFC 5280 §4.1.2.2). */
function serialNumber(ids: IdSource): string {
  const bytes = ids.bytes(16)
  bytes[0] = (bytes[0]! & 0x7f) | 0x40
  return bytes.toString('hex')
}

async function privateKeyPem(key: CryptoKey): Promise<string> {
  return `${PemConverter.encode(await crypto.subtle.exportKey('pkcs8', key), 'PRIVATE KEY')}\n`
}

async function readIfThere(file: string): Promise<string | undefined> {
  try {
    return await readFile(file, 'utf8')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw error
  }
}

/** Whoever reads the file sees the old content or the new, never a part. */
async function replaceFile(file: string, text: string, mode: number, ids: IdSource): Promise<void> {
  const draft = `${file}.${ids.uuid()}`
  const handle = await open(draft, 'wx', mode)
  try {
    await handle.writeFile(text)
    await handle.sync()
  } finally {
    await handle.close()
  }
  await rename(draft, file)
  const folder = await open(dirname(file), 'r')
  await folder.sync().finally(() => folder.close())
}
