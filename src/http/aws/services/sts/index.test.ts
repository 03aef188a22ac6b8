import { expect, it } from 'vitest'
import { createStsService } from './index.ts'

it('only what gives and tells callers nothing new, or authorises them itself, is open to every caller', () => {
  const { operations } = createStsService({} as never)

  const open = Object.keys(operations).filter((name) => operations[name]?.openToEveryCaller === true)

  expect(open).toEqual(['GetCallerIdentity', 'GetSessionToken', 'AssumeRole'])
  for (const [name, operation] of Object.entries(operations)) expect(operation.action).toBe(`sts:${name}`)
})
