import { describe, expect, it } from 'vitest'
import { isSuppliedKey } from '../../src/iam/policy/condition-keys.ts'
import { filesUnder, readProjectFile } from './tree.ts'

/** Where keys stand in policies, not in requests. */
const policies = ['src/iam/managed-policies.ts', 'src/iam/policy/']

/** A key of an object literal or a case, or the beginning of one that ends in a tag's key. */
const keyPattern = /['`]((?:aws|ecr|events|iam|sts|stowage):[A-Za-z]+)(?:':|\/\$\{)/g

describe('condition keys', () => {
  it('are all known to policies where a request is given them', () => {
    const sources = ['src/http/', 'src/iam/', 'src/registry/']
      .flatMap((folder) => filesUnder(folder, '.ts'))
      .filter((path) => !/\.test(-support)?\.ts$/.test(path) && !policies.some((start) => path.startsWith(start)))
    const given = sources.flatMap((path) =>
      [...readProjectFile(path).matchAll(keyPattern)].map(([text, key = '']) => ({ path, key: text.endsWith('{') ? `${key}/x` : key })),
    )
    expect(given.length).toBeGreaterThan(20)
    expect(given.filter(({ key }) => !isSuppliedKey(key.toLowerCase()))).toEqual([])
  })
})
