import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { createCertificate } from './certificates.ts'
import { baseEnv, run } from './run.ts'
import { freePort, startServerProcess } from './server-process.ts'
import { createTempDir } from './temp-dir.ts'
import { ensureTool } from './tools.ts'

export interface TlsProxyOptions {
  /** Where requests go, e.g. `http://127.0.0.1:5050`. */
  readonly upstream: string
  /** Names the certificate is for, besides localhost and 127.0.0.1. */
  readonly hostnames?: readonly string[]
  /**
   * The body of nginx's `location /`. Default: what Stowage's documentation tells operators to write,
   * with X-Forwarded-* and without buffering.
   */
  readonly location?: string
}

export interface TlsProxy {
  /** `https://localhost:<port>` */
  readonly url: string
  readonly port: number
  /** The self-signed certificate, to trust: a PEM file and its text. */
  readonly certificateFile: string
  readonly certificate: string
  logs(): string
  stop(): Promise<void>
}

/**
 * Starts Debian's nginx as a reverse proxy that terminates TLS in front of an HTTP server.
 * @throws when nginx cannot be installed or refuses the configuration.
 */
export async function startTlsProxy(options: TlsProxyOptions): Promise<TlsProxy> {
  const nginx = ensureTool('nginx')
  const openssl = ensureTool('openssl')
  const dir = createTempDir('nginx')
  try {
    const { certFile: certificateFile } = await createCertificate(dir.path, options.hostnames)
    const port = await freePort()
    const configFile = join(dir.path, 'nginx.conf')
    mkdirSync(join(dir.path, 'scratch'), { mode: 0o711 })
    writeFileSync(configFile, nginxConfig({ dir: dir.path, port, location: options.location ?? location(options.upstream) }))
    const server = await startServerProcess({
      name: 'nginx',
      command: nginx,
      args: ['-p', dir.path, '-c', configFile, '-e', 'stderr'],
      env: baseEnv(),
      // Any TLS answer will do: the upstream may not be there yet.
      ready: async () => {
        const args = ['s_client', '-connect', `127.0.0.1:${port}`, '-CAfile', certificateFile, '-verify_return_error']
        return (await run(openssl, args, { mayFail: true, timeoutMs: 5_000 })).exitCode === 0
      },
      stopSignal: 'SIGQUIT',
    })
    return {
      url: `https://localhost:${port}`,
      port,
      certificateFile,
      certificate: readFileSync(certificateFile, 'utf8'),
      logs: () => server.logs(),
      async stop() {
        await server.stop()
        dir.remove()
      },
    }
  } catch (error) {
    dir.remove()
    throw error
  }
}

function nginxConfig(values: { dir: string; port: number; location: string }): string {
  const scratch = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi']
    .map((name) => `  ${name}_temp_path ${join(values.dir, 'scratch', name)};`)
    .join('\n')
  return `daemon off;
worker_processes 1;
pid ${join(values.dir, 'nginx.pid')};
error_log stderr warn;
events { worker_connections 512; }
http {
  access_log off;
${scratch}
  server {
    listen 127.0.0.1:${values.port} ssl;
    ssl_certificate ${join(values.dir, 'tls.crt')};
    ssl_certificate_key ${join(values.dir, 'tls.key')};
    client_max_body_size 0;
    location / {
${values.location}
    }
  }
}
`
}

function location(upstream: string): string {
  return `      proxy_pass ${upstream};
      proxy_http_version 1.1;
      proxy_set_header Host $http_host;
      proxy_set_header X-Forwarded-Proto $scheme;
      proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
      proxy_request_buffering off;
      proxy_buffering off;
      proxy_read_timeout 900s;`
}
