import { describe, expect, it } from 'vitest'
import { PlatformError } from '../../internal/platform-error.ts'
import { distributionErrors, unexpectedError, wireErrorOf, type WireError } from './errors.ts'

const answers: readonly (readonly [string, WireError])[] = Object.entries(distributionErrors)

describe('the table of errors', () => {
  it.each(answers)('%s is an error on the wire', (_, { code, status }) => {
    expect(code).toMatch(/^[A-Z_]+$/)
    expect(status).toBeGreaterThanOrEqual(400)
    expect(status).toBeLessThan(600)
  })

  it('has every code of the specification', () => {
    const used = new Set(answers.map(([, { code }]) => code as string))
    const specified = [
      'BLOB_UNKNOWN', 'BLOB_UPLOAD_INVALID', 'BLOB_UPLOAD_UNKNOWN', 'DIGEST_INVALID', 'MANIFEST_BLOB_UNKNOWN',
      'MANIFEST_INVALID', 'MANIFEST_UNKNOWN', 'NAME_INVALID', 'NAME_UNKNOWN', 'SIZE_INVALID', 'UNAUTHORIZED', 'DENIED',
      'UNSUPPORTED', 'TOOMANYREQUESTS',
    ]
    expect(specified.filter((code) => !used.has(code))).toEqual([])
  })

  it('answers what it does not know as a failure of the server', () => {
    expect(wireErrorOf(new TypeError('x is undefined'))).toBe(unexpectedError)
    expect(wireErrorOf(new PlatformError('from-the-future', ''))).toBe(unexpectedError)
    expect(wireErrorOf(new PlatformError('constructor', ''))).toBe(unexpectedError)
    expect(wireErrorOf(undefined)).toBe(unexpectedError)
  })
})
