import { join } from 'node:path'

/*
 * What settings and commands know of the data folder; blobs and metadata draw their own parts.
 *
 *   <data>/root-credentials.json   0600  the root access key, where the server made it up
 *   <data>/archive/                blobs of archived images, where the settings name no other folder
 *   <data>/installation            which installation it is, where the archive is elsewhere
 *   <data>/tls/ca.crt              0644  the authority of the self-signed certificate, which clients trust
 *   <data>/tls/ca.key              0600
 *   <data>/tls/server.crt          0644  the certificate that the server shows
 *   <data>/tls/server.key          0600
 */

export function rootCredentialPath(dataDir: string): string {
  return join(dataDir, 'root-credentials.json')
}

/** The folder of the archive, where the settings name none. */
export function archiveFolder({ dataDir, archiveDir }: { readonly dataDir: string; readonly archiveDir?: string | undefined }): string {
  return archiveDir ?? join(dataDir, 'archive')
}

export interface SelfSignedPaths {
  readonly dir: string
  readonly caCertFile: string
  readonly caKeyFile: string
  readonly certFile: string
  readonly keyFile: string
}

export function selfSignedPaths(dataDir: string): SelfSignedPaths {
  const dir = join(dataDir, 'tls')
  return {
    dir,
    caCertFile: join(dir, 'ca.crt'),
    caKeyFile: join(dir, 'ca.key'),
    certFile: join(dir, 'server.crt'),
    keyFile: join(dir, 'server.key'),
  }
}
