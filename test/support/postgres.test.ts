import pg from 'pg'
import { expect, test } from 'vitest'
import { createDatabase } from './postgres.ts'

test('the shared cluster flushes nothing, sorts like a language and gives each file its own database', async () => {
  const [first, second] = await Promise.all([createDatabase(), createDatabase()])
  const client = new pg.Client({ connectionString: first.url })
  await client.connect()

  const sorted = await client.query(`SELECT name FROM (VALUES ('a'), ('B'), ('c')) AS t (name) ORDER BY name`)
  const fsync = await client.query('SHOW fsync')
  await client.end()
  await first.drop()
  await first.drop()
  await second.drop()

  expect(first.url).not.toBe(second.url)
  expect(sorted.rows.map((row: { name: string }) => row.name)).toEqual(['a', 'B', 'c'])
  expect(fsync.rows).toEqual([{ fsync: 'off' }])
})
