import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { gunzipSync } from 'node:zlib'
import { CreateRepositoryCommand, ECRClient } from '@aws-sdk/client-ecr'
import pg from 'pg'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { createDistributionClient } from '../support/distribution-client.ts'
import { buildRandomImage, pushImage } from '../support/images.ts'
import { createDatabase } from '../support/postgres.ts'
import { databases } from '../support/registry.ts'
import { baseEnv, run, type RunResult } from '../support/run.ts'
import { startStowage, type Stowage } from '../support/start-stowage.ts'
import { createTempDir, type TempDir } from '../support/temp-dir.ts'
import { projectDir, programScript } from '../support/tools.ts'

let dir: TempDir
let stowage: Stowage | undefined

beforeEach(() => {
  dir = createTempDir('audit-command')
})
afterEach(async () => {
  await stowage?.stop()
  dir.remove()
})

describe.each(databases)('stowage audit on %s', (kind) => {
  it('finds what was changed, and by a checkpoint what was cut off', async () => {
    const databaseUrl = kind === 'postgres' ? (await createDatabase()).url : undefined
    const audit = (...words: string[]): Promise<RunResult> =>
      run(process.execPath, [programScript(), 'audit', ...words], {
        cwd: projectDir,
        env: { ...baseEnv(), STOWAGE_DATA_DIR: dir.path, ...(databaseUrl === undefined ? {} : { STOWAGE_DATABASE_URL: databaseUrl }) },
        mayFail: true,
      })
    const tamper = async (sql: string): Promise<void> => {
      if (databaseUrl === undefined) {
        const database = new DatabaseSync(join(dir.path, 'observe.db'))
        database.exec(sql)
        database.close()
        return
      }
      const client = new pg.Client({ connectionString: databaseUrl })
      await client.connect()
      await client.query(sql.replaceAll('audit_', 'stowage_observe.audit_'))
      await client.end()
    }
    const exports = join(dir.path, 'exports')
    stowage = await startStowage({ dataDir: dir.path, env: { STOWAGE_AUDIT_EXPORT: exports, STOWAGE_AUDIT_EXPORT_INTERVAL_SECONDS: '1' }, ...(databaseUrl === undefined ? {} : { databaseUrl }) })
    const client = createDistributionClient(stowage.url, stowage.credentials)
    for (let n = 0; n < 5; n += 1) await client.request('GET', '/v2/')
    client.close()
    const image = buildRandomImage([1_000], kind)
    const { username: accessKeyId, password: secretAccessKey } = stowage.credentials
    const ecr = new ECRClient({ endpoint: stowage.url, region: 'us-east-1', credentials: { accessKeyId, secretAccessKey } })
    await ecr.send(new CreateRepositoryCommand({ repositoryName: 'team/app' }))
    ecr.destroy()
    await pushImage({ url: stowage.url, auth: stowage.credentials, repository: 'team/app' }, image, 'v1.0.0')
    const asks = async (...words: string[]): Promise<RunResult> => {
      const env = { ...baseEnv(), AWS_ENDPOINT_URL: stowage!.url, AWS_REGION: 'us-east-1', AWS_ACCESS_KEY_ID: accessKeyId, AWS_SECRET_ACCESS_KEY: secretAccessKey }
      return run(process.execPath, ['src/cli.ts', 'audit', ...words], { cwd: projectDir, env, mayFail: true })
    }
    await expect.poll(async () => (await asks('tag-history', 'team/app:v1.0.0', '--at', new Date(Date.now() + 1000).toISOString())).stdout, { timeout: 10_000 }).toContain(`team/app:v1.0.0 was ${image.manifest.digest}`)
    const history = await asks('tag-history', 'team/app:v1.0.0')
    expect(history.stdout).toMatch(/PutImage {2}(?<id>[0-9a-f-]{36})\nThe trail tells what happened since /u)
    expect(await asks('tag-history', 'team/app:v2')).toMatchObject({ exitCode: 8, stdout: expect.stringContaining('The trail has no record of team/app:v2.') as string })
    const eventId = /PutImage {2}([0-9a-f-]{36})/u.exec(history.stdout)![1]!
    expect(JSON.parse((await asks('show', eventId)).stdout)).toMatchObject({ eventName: 'PutImage', additionalEventData: { changes: [{ tagChanges: [{ imageTag: 'v1.0.0', imageDigest: image.manifest.digest }] }] } })
    expect((await asks('list', '--attribute', 'EventName=PutImage')).stdout).toMatch(new RegExp(`PutImage +root +team/app +ok +${eventId}\\n$`, 'u'))
    // The server brings records to files by itself.
    const exported = (): string => readdirSync(exports, { recursive: true, withFileTypes: true }).filter(({ name }) => name.endsWith('.gz')).map(({ parentPath, name }) => gunzipSync(readFileSync(join(parentPath, name))).toString()).join()
    await expect.poll(exported, { timeout: 10_000 }).toContain(eventId)
    expect((await audit('export', '--out', join(dir.path, 'asked'))).stdout).toMatch(/^\d+ records in 1 files\n$/u)
    // Beside a running server too.
    expect(await audit('verify')).toMatchObject({ exitCode: 0 })
    await stowage.stop()
    stowage = undefined

    const made = await audit('checkpoint')
    const checkpoint = JSON.parse(made.stdout) as { record: number; hash: string }
    expect(checkpoint.record).toBeGreaterThanOrEqual(5)
    const [own, forged] = [join(dir.path, 'own.json'), join(dir.path, 'forged.json')]
    writeFileSync(own, made.stdout)
    writeFileSync(forged, JSON.stringify({ ...checkpoint, record: checkpoint.record - 1 }))
    expect((await audit('verify', '--checkpoint', own)).stdout).toContain('the chain is whole, and goes on from the checkpoint')
    expect(await audit('verify', '--checkpoint', forged)).toMatchObject({ exitCode: 1 })

    const last = checkpoint.record
    await tamper(`delete from audit_event where seq = ${last}; update audit_head set seq = ${last - 1}, hash = (select hash from audit_event where seq = ${last - 1})`)
    expect(await audit('verify')).toMatchObject({ exitCode: 0 })
    const cut = await audit('verify', '--checkpoint', own, '--json')
    expect([cut.exitCode, JSON.parse(cut.stdout)]).toMatchObject([8, { findings: [{ kind: 'end' }] }])
    await tamper(`update audit_event set body = replace(body, '127.0.0.1', '10.0.0.1') where seq = ${last - 2}`)
    expect(await audit('verify')).toMatchObject({ exitCode: 8, stdout: expect.stringContaining(`changed  record ${last - 2}:`) as string })
    expect(await audit('checkpoint')).toMatchObject({ exitCode: 8, stdout: '' })
  })
})
