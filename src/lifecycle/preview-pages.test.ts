import { zstdCompressSync } from 'node:zlib'
import { expect, it } from 'vitest'
import { readResults, type StoredResult } from './preview-pages.ts'

const results: readonly StoredResult[] = [[7, `sha256:${'0'.repeat(64)}`, ['v1'], 1, 'active', 0, 3]]

it('reads results of this version, and those that an earlier one kept as they are', () => {
  const json = JSON.stringify(results)
  expect(readResults(zstdCompressSync(json))).toEqual(results)
  expect(readResults(new TextEncoder().encode(json))).toEqual(results)
})
