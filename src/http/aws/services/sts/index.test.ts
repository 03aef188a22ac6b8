import { expect, it } from 'vitest'
import { createStsService } from './index.ts'

it('only what gives and tells callers nothing new is open to every caller, whatever policies say', () => {
  const { operations } = createStsService({} as never)

  const open = Object.keys(operations).filter((name) => operations[name]?.openToEveryCaller === true)

  expect(open).toEqual(['GetCallerIdentity', 'GetSessionToken'])
  for (const [name, operation] of Object.entries(operations)) expect(operation.action).toBe(`sts:${name}`)
})
