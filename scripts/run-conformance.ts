import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { join, relative, resolve } from 'node:path'
import { CreateRepositoryCommand, ECRClient, GetAuthorizationTokenCommand } from '@aws-sdk/client-ecr'
import { baseEnv } from '../test/support/run.ts'
import { startStowage } from '../test/support/start-stowage.ts'

const root = resolve(import.meta.dirname, '..')
const reports = join(root, '.cache/conformance')

/** Each version turns on what it asks for; every data set is on but SPARSE, whose images lack parts, as ECR refuses. */
const versions = ['1.0', '1.1']

/** Enough to see what is wrong; the rest is in the report. */
const shownFailures = 30

const suite = process.argv[2]
if (suite === undefined) throw new Error('usage: run-conformance.ts <path of the suite’s program>')

const server = await startStowage()
let hasFailed = false
try {
  const client = new ECRClient({ endpoint: server.url, region: server.region, credentials: server.keys })
  const password = await registryPassword(client)
  for (const version of versions) hasFailed = !(await runVersion(suite, version, client, password)) || hasFailed
  client.destroy()
} finally {
  mkdirSync(reports, { recursive: true })
  writeFileSync(join(reports, 'server.log'), server.logs())
  await server.stop()
}
process.exitCode = hasFailed ? 1 : 0

async function runVersion(program: string, version: string, client: ECRClient, password: string): Promise<boolean> {
  const resultsDir = join(reports, version)
  rmSync(resultsDir, { recursive: true, force: true })
  mkdirSync(resultsDir, { recursive: true })
  const repositories = [`conformance-${version}/one`, `conformance-${version}/two`]
  for (const repositoryName of repositories) await client.send(new CreateRepositoryCommand({ repositoryName }))

  const run = spawnSync(program, [], {
    // The suite reads a settings file from its folder if there is one.
    cwd: resultsDir,
    encoding: 'utf8',
    maxBuffer: 256 * 1024 * 1024,
    env: {
      ...baseEnv(),
      OCI_REGISTRY: server.registryHost,
      OCI_TLS: 'disabled',
      OCI_REPO1: repositories[0],
      OCI_REPO2: repositories[1],
      OCI_USERNAME: 'AWS',
      OCI_PASSWORD: password,
      OCI_VERSION: version,
      OCI_RESULTS_DIR: resultsDir,
    },
  })
  writeFileSync(join(resultsDir, 'output.txt'), `${run.stdout}\n${run.stderr}`)

  const totals = [...run.stdout.matchAll(/^ {2}([A-Za-z]+)\.+: +(\d+)$/gmu)].map(([, name = '', count = '']) => `${count} ${name.toLowerCase()}`)
  // The suite exits with 0 when it cannot even begin, so its own verdict counts as well.
  const hasPassed = run.status === 0 && /^OCI Conformance Result: Pass$/mu.test(run.stdout) && existsSync(join(resultsDir, 'results.yaml'))
  console.log(`OCI conformance ${version}: ${hasPassed ? 'pass' : 'FAIL'} (${totals.join(', ')})`)
  if (!hasPassed) {
    const lines = run.stderr.split('\n').filter((line) => line !== '')
    for (const line of lines.slice(0, shownFailures)) console.log(`  ${line.replace(/^time=\S+ level=\w+ /u, '')}`)
    console.log(`  ${Math.max(0, lines.length - shownFailures)} more; the report is ${relative(root, resultsDir)}/report.html`)
  }
  return hasPassed
}

async function registryPassword(client: ECRClient): Promise<string> {
  const { authorizationData } = await client.send(new GetAuthorizationTokenCommand({}))
  const token = authorizationData?.[0]?.authorizationToken
  if (token === undefined) throw new Error('the server gave no authorization token')
  return Buffer.from(token, 'base64').toString('utf8').replace(/^AWS:/u, '')
}
