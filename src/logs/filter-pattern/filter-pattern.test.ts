import fc from 'fast-check'
import { describe, expect, it, test } from 'vitest'
import { parseFilterPattern } from './index.ts'

function matches(pattern: string, message: string): boolean {
  return parseFilterPattern(pattern)?.(message) ?? true
}

function matchesWhich(pattern: string, messages: readonly string[]): number[] {
  return messages.flatMap((message, index) => (matches(pattern, message) ? [index] : []))
}

// The examples of the user guide, "Filter pattern syntax".
describe('terms', () => {
  const messages = ['ERROR WARN message', 'ERROR message', 'WARN message', 'Exiting with ERRORCODE: -1']

  it.each([
    ['', [0, 1, 2, 3]],
    [' ', [0, 1, 2, 3]],
    ['ERROR', [0, 1, 3]],
    ['error', []],
    ['?ERROR ?WARN', [0, 1, 2, 3]],
    ['?WARN ?CODE', [0, 2, 3]],
    ['ERROR WARN', [0]],
    ['ERROR -WARN', [1, 3]],
    ['"ERROR" - "Exiting"', [0, 1]],
    ['-ERROR', [2]],
    ['"WARN message"', [0, 2]],
    ['message -"ERROR WARN"', [1, 2]],
    // Optional terms count for nothing beside others.
    ['message ?nothing', [0, 1, 2]],
    ['"ERRORCODE: -1"', [3]],
  ])('%s', (pattern, which) => {
    expect(matchesWhich(pattern, messages)).toEqual(which)
  })

  it('within quotation marks may be anything', () => {
    expect(matches('"a \\"b\\" (c)"', 'so a "b" (c) it is')).toBe(true)
    expect(() => parseFilterPattern('a-b')).toThrow("Invalid character(s) in term 'a-b'")
    expect(() => parseFilterPattern('"a')).toThrow('Invalid filter pattern')
    expect(() => parseFilterPattern('%a+%')).toThrow('regular expressions are not served')
  })
})

describe('patterns of JSON', () => {
  const event = JSON.stringify({
    eventType: 'UpdateTrail',
    sourceIPAddress: '111.111.111.111',
    arrayKey: ['value', 'another value'],
    objectList: [
      { name: 'a', id: 1 },
      { name: 'b', id: 2 },
    ],
    SomeObject: null,
    ThisFlag: true,
    latency: 55.5,
    'cluster.name': 'c',
    user: { id: 1, email: 'John.Stiles@example.com' },
    actions: ['GET', 'PUT', 'DELETE'],
    coordinates: [[0, 1, 2]],
    code: '404',
  })

  it.each([
    '{ $.eventType = "UpdateTrail" }',
    '{$.eventType=UpdateTrail}',
    '{ $.eventType = Update* }',
    '{ $.eventType = *Trail }',
    '{ $.eventType = "*dateT*" }',
    '{ $.eventType = * }',
    '{ $.sourceIPAddress != 123.123.* }',
    '{ $.arrayKey[0] = "value" }',
    '{ $.arrayKey[*] = "another value" }',
    '{ $.objectList[1].id = 2 }',
    '{ $.objectList[*].name = b }',
    '{ $.SomeObject IS NULL }',
    '{ $.SomeOtherObject NOT EXISTS }',
    '{ $.SomeObject EXISTS }',
    '{ $.ThisFlag IS TRUE }',
    '{ $.ThisFlag = true }',
    '{ $.latency > 55 && $.latency <= 55.5 && $.latency < +1e3 }',
    "{ $.['cluster.name'] = c }",
    '{ ($.user.id = 1) && ($.actions[2] = "DELETE") }',
    '{ $.user.email = "John.Stiles@example.com" || $.coordinates[0][1] = nonmatch && $.actions[2] = nomatch }',
    '{ $.coordinates[0][1] = 1 }',
    '{ $.code = 404 }',
    '{ $.code = "4*" }',
  ])('%s', (pattern) => {
    expect(matches(pattern, event)).toBe(true)
  })

  it.each([
    '{ $.eventType != "UpdateTrail" }',
    '{ $.eventType = "Upd*Trail" }',
    '{ $.arrayKey = value }',
    // What is no value, or not there, is neither equal nor unequal.
    '{ $.arrayKey != value }',
    '{ $.nothing != 1 }',
    '{ $.SomeObject != 1 }',
    '{ $.eventType[0] = U }',
    '{ $.eventType NOT EXISTS }',
    '{ $.ThisFlag IS FALSE }',
    '{ $.constructor EXISTS }',
    '{ ($.user.id = 2 && $.actions[0] = "GET") || $.actions[2] = "GET" }',
    '{ ($.user.email = "John.Stiles@example.com" || $.coordinates[0][1] = nonmatch) && $.actions[2] = nomatch }',
    '{ $.latency > 55.5 }',
    '{ $.eventType > 1 }',
  ])('not %s', (pattern) => {
    expect(matches(pattern, event)).toBe(false)
  })

  it('take no line that is none', () => {
    for (const message of ['', 'text', '{"eventType":', '"eventType"', '17']) expect(matches('{ $.eventType NOT EXISTS }', message)).toBe(false)
  })

  it.each(['{', '{ $.a }', '{ a = 1 }', '{ $.a = }', '{ $.a = 1', '{ $.a = 1 && }', '{ ($.a = 1 }', '{ $.a < x }', '{ $.a IS 3 }', '{ $.a[*].b[*] = 1 }', '{ $.a[*] = 1 || $.b[*] = 1 || $.c[*] = 1 || $.d[*] = 1 }', '{ $.a = 1 $.b = 2 }', '{ $.a = %x% }', '{ $ = 1 }'])('%s is none', (pattern) => {
    expect(() => parseFilterPattern(pattern)).toThrow('Invalid filter pattern')
  })
})

describe('patterns of fields', () => {
  const lines = [
    '127.0.0.1 - frank [10/Oct/2000:13:25:15 -0700] "GET /apache_pb.gif HTTP/1.0" 200 1534',
    '127.0.0.1 - frank [10/Oct/2000:13:35:22 -0700] "GET /apache_pb.gif HTTP/1.0" 500 5324',
    '127.0.0.1 - frank [10/Oct/2000:13:50:35 -0700] "GET /index.html HTTP/1.0" 403 4355',
    'ERROR message',
  ]

  it.each([
    ['[ip, user, username, timestamp, request, status_code, bytes]', [0, 1, 2]],
    ['[ip, user, username, timestamp, request, status_code, bytes > 1600]', [1, 2]],
    ['[ip, user, username, timestamp, request, status_code = 200, bytes]', [0]],
    ['[ip, user, username, timestamp, request = *html*, status_code = 4*, bytes]', [2]],
    ['[..., status_code = 4* && status_code != 403, bytes]', []],
    ['[..., status_code = 4* || status_code = 5*, bytes]', [1, 2]],
    ['[..., status_code = 2*,]', [0]],
    ['[ip, user, ..., bytes]', [0, 1, 2]],
    ['[ip, ...]', [0, 1, 2, 3]],
    ['[w1=ERROR, w2]', [3]],
    ['[w1=ERROR]', []],
    ['[, , , timestamp = 10/Oct/2000*, ...]', [0, 1, 2]],
  ])('%s', (pattern, which) => {
    expect(matchesWhich(pattern, lines)).toEqual(which)
  })

  it.each(['[', '[a', '[..., ...]', '[a b]', '[a = 1 && b = 2]', '[a >]'])('%s is none', (pattern) => {
    expect(() => parseFilterPattern(pattern)).toThrow('Invalid filter pattern')
  })
})

test('any pattern is read or refused, and compared with any line quickly', () => {
  const piece = fc.constantFrom('{', '}', '[', ']', '(', ')', '$.a', '$', '[*]', '"', '\\', '-', '?', '*', '&&', '||', '=', '!=', '<', '...', ',', ' ', 'NOT', 'EXISTS', 'IS', 'NULL', '1e9', 'x')
  const line = fc.constantFrom('{"a":1}', '['.repeat(300_000), '"'.repeat(300_001), 'x ['.repeat(100_000), '{'.repeat(100_000))
  fc.assert(
    fc.property(fc.array(piece, { maxLength: 20 }), line, (pieces, message) => {
      try {
        matches(pieces.join(''), message)
      } catch (error) {
        expect(String(error)).toContain('Invalid filter pattern')
      }
    }),
  )
  const began = performance.now()
  for (const message of ['['.repeat(1_000_000), '"'.repeat(1_000_001), 'x ['.repeat(300_000)]) matches('[a, ..., b > 1]', message)
  expect(performance.now() - began).toBeLessThan(5_000)
})
