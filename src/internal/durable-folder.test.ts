import { chmodSync, mkdirSync, mkdtempSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { makeDurableFolder } from './durable-folder.ts'

// That it flushes what it has to is shown by the power cuts of test/crash.
let dir: string
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'stowage-folder-'))
})
afterEach(() => {
  rmSync(dir, { recursive: true })
})

it('makes a folder with its parents, and takes one that is there', () => {
  const path = join(dir, 'a/b/c')

  makeDurableFolder(path, 0o700)
  makeDurableFolder(path, 0o755)

  expect(statSync(path).mode & 0o777).toBe(0o700)
})

it('takes a folder whose parent may not be listed', () => {
  const path = join(dir, 'closed/data')
  mkdirSync(path, { recursive: true })
  chmodSync(join(dir, 'closed'), 0o111)

  makeDurableFolder(path, 0o700)

  chmodSync(join(dir, 'closed'), 0o700)
})
