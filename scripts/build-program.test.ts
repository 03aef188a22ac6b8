import { mkdirSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { createTempDir } from '../test/support/temp-dir.ts'
import { buildProgram } from './build-program.ts'

test('a folder that may have the program of other sources is left as it is', async () => {
  const dir = createTempDir('built-program')
  const folder = join(dir.path, 'dist')
  mkdirSync(folder)

  await expect(buildProgram(folder)).rejects.toThrow(`${folder} is there already`)

  expect(readdirSync(folder)).toEqual([])
  dir.remove()
})
