import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { describeFailure } from './failures.ts'
import { readGivenFile } from './given-file.ts'

it.each([
  [join(tmpdir(), 'not', 'there.json'), 'there is no such file'],
  [tmpdir(), 'it is a folder'],
])('says of %s that it cannot be read, and why', async (path, why) => {
  const failure = await readGivenFile(path).catch(describeFailure)
  expect(failure).toEqual({ text: `${path} cannot be read: ${why}`, exitCode: 2 })
})
