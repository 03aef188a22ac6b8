import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { gunzipSync } from 'node:zlib'
import { expect, test } from 'vitest'
import { run } from '../support/run.ts'
import { findS3Server, startS3Server } from '../support/s3-server.ts'
import { startStowage, type Stowage } from '../support/start-stowage.ts'
import { createTempDir } from '../support/temp-dir.ts'
import { programScript, projectDir } from '../support/tools.ts'

/** Every character that the setting takes, also those that S3 escapes where URLs do not. */
const place = "audit-logs/registry/it's-(1)_!*.x"
const layout = /^AWSLogs\/000000000000\/CloudTrail\/us-east-1\/(\d{4})\/(\d\d)\/(\d\d)\/000000000000_CloudTrail_us-east-1_\1\2\3T\d{4}Z_[0-9a-f]{16}\.json\.gz$/u

/** The ids of records by the names of their files. */
function idsIn(folder: string): Map<string, string[]> {
  const files = readdirSync(folder, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile())
  return new Map(files.map(({ parentPath, name }) => {
    const path = join(parentPath, name)
    const { Records: records } = JSON.parse(gunzipSync(readFileSync(path)).toString()) as { Records: { eventID: string }[] }
    return [path.slice(folder.length + 1), records.map(({ eventID }) => eventID)]
  }))
}

const program = findS3Server()

test.skipIf(program === undefined)('an S3 server that refuses, lacks the bucket or goes away is told with its reason, and has each record once in the end, whoever is killed', async () => {
  await using s3 = await startS3Server(program!, { tls: true })
  const dir = createTempDir('exports')
  const data = createTempDir('exporting')
  const settings = {
    STOWAGE_AUDIT_EXPORT: `s3://${place}`,
    STOWAGE_AUDIT_EXPORT_ENDPOINT: s3.url,
    STOWAGE_AUDIT_EXPORT_REGION: s3.region,
    STOWAGE_AUDIT_EXPORT_ACCESS_KEY_ID: s3.keys.accessKeyId,
    STOWAGE_AUDIT_EXPORT_INTERVAL_SECONDS: '1',
    STOWAGE_AUDIT_CA_FILE: s3.caFile!,
  }
  let stowage: Stowage | undefined
  const start = async (secretAccessKey = s3.keys.secretAccessKey): Promise<Stowage> => {
    const options = stowage === undefined ? {} : { keys: stowage.keys, port: stowage.port }
    return (stowage = await startStowage({ ...options, dataDir: data.path, env: { ...settings, STOWAGE_AUDIT_EXPORT_SECRET_ACCESS_KEY: secretAccessKey } }))
  }
  const ask = async (count: number): Promise<void> => {
    const { username, password } = stowage!.credentials
    const headers = { authorization: `Basic ${Buffer.from(`${username}:${password}`).toString('base64')}` }
    for (let n = 0; n < count; n += 1) expect((await fetch(`${stowage!.url}/v2/no/such/manifests/v${n}`, { headers })).status).toBe(404)
  }
  const isTold = async (reason: RegExp): Promise<void> => {
    await expect.poll(() => stowage!.logs().split('\n').filter((line) => line.includes('"outlet":"export"')).join('\n'), { timeout: 20_000 }).toMatch(reason)
  }
  const metric = async (name: string): Promise<number> => Number(new RegExp(`^${name}\\{outlet="export"\\} (\\d+)$`, 'mu').exec(await (await fetch(`${stowage!.url}/metrics`)).text())?.[1])
  try {
    await start('another-secret')
    await ask(3)
    await isTold(/status 403: SignatureDoesNotMatch: /u)
    await stowage!.stop()

    await start()
    await isTold(/status 404: NoSuchBucket: /u)
    await s3.aws('s3', 'mb', 's3://audit-logs')
    await expect.poll(() => metric('stowage_audit_outlet_sent_total'), { timeout: 20_000 }).toBeGreaterThanOrEqual(3)

    await s3.kill()
    await ask(3)
    await isTold(/ECONNREFUSED/u)
    // What it was to put is noted: the same once both are there again.
    stowage!.kill('SIGKILL')
    await stowage!.exited
    await s3.start()
    for (const lateMs of [1100, 1300]) {
      await start()
      await ask(40)
      await delay(lateMs)
      stowage!.kill('SIGKILL')
      await stowage!.exited
    }
    await start()
    await ask(3)
    await expect.poll(async () => [await metric('stowage_audit_outlet_waiting'), (await metric('stowage_audit_outlet_sent_total')) >= 3], { timeout: 30_000, interval: 200 }).toEqual([0, true])
    await stowage!.stop()

    const [gotten, kept] = [join(dir.path, 'gotten'), join(dir.path, 'kept')]
    await s3.aws('s3', 'cp', '--recursive', '--quiet', `s3://${place}/`, gotten)
    const times = ['--from', '2020-01-01', '--to', new Date(Date.now() + 60_000).toISOString()]
    await run(process.execPath, [programScript(), 'audit', 'export', ...times, '--out', kept], { cwd: projectDir, env: { STOWAGE_DATA_DIR: data.path } })
    const files = idsIn(gotten)
    expect([...files.keys()].filter((name) => !layout.test(name))).toEqual([])
    const ids = [...files.values()].flat()
    expect(ids.length).toBeGreaterThan(89)
    expect(ids.toSorted()).toEqual([...idsIn(kept).values()].flat().toSorted())
  } finally {
    await stowage?.stop()
    data.remove()
    dir.remove()
  }
}, 120_000)
