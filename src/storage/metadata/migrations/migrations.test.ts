import { expect, it } from 'vitest'
import { migrations } from './index.ts'

it('are named in their order, tell what they do in a sentence, and are the same ones on both databases', () => {
  const names = Object.keys(migrations('sqlite'))
  expect(names).toEqual([...names].sort())
  expect(Object.keys(migrations('postgres'))).toEqual(names)
  for (const [name, { description }] of Object.entries(migrations('sqlite'))) {
    expect(name).toMatch(/^\d{4}-[a-z0-9-]+$/u)
    expect(description.changes, name).toMatch(/^[A-Z].{15,}\.$/u)
    expect(migrations('postgres')[name]?.description, name).toEqual(description)
  }
})
