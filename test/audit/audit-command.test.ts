import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import pg from 'pg'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { createDistributionClient } from '../support/distribution-client.ts'
import { createDatabase } from '../support/postgres.ts'
import { databases } from '../support/registry.ts'
import { baseEnv, run, type RunResult } from '../support/run.ts'
import { startStowage, type Stowage } from '../support/start-stowage.ts'
import { createTempDir, type TempDir } from '../support/temp-dir.ts'
import { projectDir } from '../support/tools.ts'

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
      run(process.execPath, ['src/cli.ts', 'audit', ...words], {
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
    stowage = await startStowage({ dataDir: dir.path, ...(databaseUrl === undefined ? {} : { databaseUrl }) })
    const client = createDistributionClient(stowage.url, stowage.credentials)
    for (let n = 0; n < 5; n += 1) await client.request('GET', '/v2/')
    client.close()
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
