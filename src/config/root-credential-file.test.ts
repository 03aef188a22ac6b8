import { chmodSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { createTempDir, type TempDir } from '../../test/support/temp-dir.ts'
import { systemClock } from '../internal/clock.ts'
import { systemIds } from '../internal/ids.ts'
import { createRootCredentialFile, readRootCredentialFile } from './root-credential-file.ts'

let dir: TempDir
const sources = { ids: systemIds, clock: systemClock }

beforeEach(() => {
  dir = createTempDir('root-credential')
})

afterEach(() => {
  dir.remove()
})

it('makes a credential in the form of AWS that only the owner may read', async () => {
  const { credential, createdNow } = await createRootCredentialFile(dir.path, { ...sources, replace: false })

  expect(createdNow).toBe(true)
  expect(credential.accessKeyId).toMatch(/^AKIA[A-Z2-7]{16}$/u)
  expect(credential.secretAccessKey).toMatch(/^[A-Za-z0-9+/]{40}$/u)
  expect(statSync(credential.file).mode & 0o777).toBe(0o600)
  expect(await readRootCredentialFile(dir.path)).toEqual(credential)
})

it('lets the first of several writers win, and leaves no drafts', async () => {
  const made = await Promise.all(Array.from({ length: 8 }, () => createRootCredentialFile(dir.path, { ...sources, replace: false })))

  expect(made.filter(({ createdNow }) => createdNow)).toHaveLength(1)
  expect(new Set(made.map(({ credential }) => credential.secretAccessKey)).size).toBe(1)
  expect(readdirSync(dir.path)).toEqual(['root-credentials.json'])
})

it('replaces the kept credential when asked', async () => {
  const first = await createRootCredentialFile(dir.path, { ...sources, replace: false })
  const second = await createRootCredentialFile(dir.path, { ...sources, replace: true })

  expect(second.credential.secretAccessKey).not.toBe(first.credential.secretAccessKey)
  expect(await readRootCredentialFile(dir.path)).toEqual(second.credential)
})

it('finds none where there is no data folder', async () => {
  expect(await readRootCredentialFile(join(dir.path, 'missing'))).toBeUndefined()
})

it('refuses a broken file without repeating its content', async () => {
  const file = join(dir.path, 'root-credentials.json')
  writeFileSync(file, '{"secretAccessKey":"hunter2"}')
  chmodSync(file, 0o600)

  const failure = await readRootCredentialFile(dir.path).catch((error: unknown) => error)

  expect(failure).toMatchObject({ code: 'root-credential-unreadable' })
  expect(String(failure)).toContain(file)
  expect(JSON.stringify(failure) + String(failure)).not.toContain('hunter2')
  expect(readFileSync(file, 'utf8')).toContain('hunter2')
})
