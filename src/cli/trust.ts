import { copyFile, mkdir, readFile } from 'node:fs/promises'
import { X509Certificate } from 'node:crypto'
import { join, resolve } from 'node:path'
import { exitCodes, hostAndPort, loadConfig, selfSignedPaths, type Config } from '../config/index.ts'
import { programWords, shellWord } from './command-line.ts'
import type { CommandIo } from './command-io.ts'

export interface TrustOptions {
  /** Registry hosts; none means what the settings say. */
  readonly hosts: readonly string[]
  readonly caFile: string | undefined
  readonly install: boolean
  readonly certsDir: string
}

/** Prints how each client learns to trust the server's authority; with `install`, does it for docker. */
export async function trust(io: CommandIo, options: TrustOptions): Promise<number> {
  const config = loadConfig()
  const caFile = options.caFile === undefined ? selfSignedPaths(config.dataDir).caCertFile : resolve(options.caFile)
  const hosts = options.hosts.length > 0 ? options.hosts : registryHosts(config)
  const wrong = hosts.find((host) => !/^(?:[\w.-]+|\[[\da-f:.]+\])(?::\d{1,5})?$/iu.test(host))
  if (wrong !== undefined) return refuse(io, `${JSON.stringify(wrong)} is no registry host: write it as in an image's name, such as registry.example.com:5050`)
  const problem = await unusableCertificate(caFile)
  if (problem !== undefined) return refuse(io, `${problem}\n${missingText(config)}`)

  if (!options.install) {
    io.stdout.write(instructions(caFile, hosts, programWords(io.invocation)))
    return exitCodes.ok.code
  }
  for (const host of hosts) {
    const folder = join(options.certsDir, host)
    await mkdir(folder, { recursive: true })
    await copyFile(caFile, join(folder, 'ca.crt'))
    io.stdout.write(`${join(folder, 'ca.crt')}: docker trusts ${host}; it needs no restart\n`)
  }
  return exitCodes.ok.code
}

/** The names that images are pulled by, as far as the settings tell. */
function registryHosts(config: Config): readonly string[] {
  const { port, host } = config.listen
  const hosts = [hostAndPort(['0.0.0.0', '::', '127.0.0.1', '::1'].includes(host) ? 'localhost' : host, port)]
  if (config.publicUrl !== undefined) hosts.unshift(new URL(config.publicUrl).host)
  if (config.registryDomain !== undefined) {
    const name = `${config.accountId}.dkr.ecr.${config.region}.${config.registryDomain}`
    hosts.unshift(port === 443 ? name : `${name}:${port}`)
  }
  return [...new Set(hosts)]
}

async function unusableCertificate(file: string): Promise<string | undefined> {
  try {
    const certificate = new X509Certificate(await readFile(file))
    return certificate.ca ? undefined : `${file} is not the certificate of an authority`
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    return code === 'ENOENT' ? `there is no certificate at ${file}` : `${file} cannot be used as a certificate (${code ?? 'not PEM'})`
  }
}

function missingText(config: Config): string {
  switch (config.tls.mode) {
    case 'self-signed':
      return '  Start the server once: it makes the certificate.'
    case 'files':
      return '  The server uses a certificate of yours: name its authority with --ca FILE. A public authority needs nothing.'
    case 'off':
      return [
        '  If the server does not use TLS, clients on this machine need nothing: docker accepts plain HTTP from localhost.',
        '  For a certificate, start it with STOWAGE_TLS_SELF_SIGNED=true, or name the authority of yours with --ca FILE.',
      ].join('\n')
  }
}

function refuse(io: CommandIo, text: string): number {
  io.stderr.write(`stowage: ${text}\n`)
  return exitCodes.usage.code
}

function instructions(caFile: string, hosts: readonly string[], program: string): string {
  const ca = shellWord(caFile)
  const dockerLines = hosts.map((host) => `    sudo install -D -m 0644 ${ca} ${shellWord(`/etc/docker/certs.d/${host}/ca.crt`)}`)
  const podmanLines = hosts.map((host) => `    sudo install -D -m 0644 ${ca} ${shellWord(`/etc/containers/certs.d/${host}/ca.crt`)}`)
  return `The authority's certificate is ${caFile}.

docker (no restart needed; \`${program} trust --install\` does the same):
${dockerLines.join('\n')}

podman, skopeo, buildah:
${podmanLines.join('\n')}

The aws command and the AWS SDKs for Python:
    export AWS_CA_BUNDLE=${ca}

Node programs, curl:
    export NODE_EXTRA_CA_CERTS=${ca}
    curl --cacert ${ca} https://${hosts[0] ?? 'localhost'}/v2/

The whole machine, containerd and Kubernetes' nodes included (then restart docker and containerd):
    Debian, Ubuntu   sudo install -m 0644 ${ca} /usr/local/share/ca-certificates/stowage.crt && sudo update-ca-certificates
    Fedora, RHEL     sudo install -m 0644 ${ca} /etc/pki/ca-trust/source/anchors/stowage.crt && sudo update-ca-trust
    macOS            sudo security add-trusted-cert -d -r trustRoot -k /Library/Keychains/System.keychain ${ca}
`
}
