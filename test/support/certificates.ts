import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { run } from './run.ts'
import { ensureTool } from './tools.ts'

/** Files in PEM. The certificate is signed with its own key, so that it is also what clients are told to trust. */
export interface CertificateFiles {
  readonly certFile: string
  readonly keyFile: string
}

/**
 * Makes a certificate as an operator does, with openssl, in `folder` (made where missing): for localhost, both loopback
 * addresses and `names`, which may have a wildcard in front. An older one in the folder is replaced.
 */
export async function createCertificate(folder: string, names: readonly string[] = []): Promise<CertificateFiles> {
  mkdirSync(folder, { recursive: true })
  const certFile = join(folder, 'tls.crt')
  const keyFile = join(folder, 'tls.key')
  const alternativeNames = [...['localhost', ...names].map((name) => `DNS:${name}`), 'IP:127.0.0.1', 'IP:::1']
  await run(ensureTool('openssl'), [
    ...['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '30'],
    ...['-subj', '/CN=localhost', '-addext', `subjectAltName=${alternativeNames.join(',')}`],
    ...['-keyout', keyFile, '-out', certFile],
  ])
  return { certFile, keyFile }
}
