import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { AwsError } from '../errors.ts'
import { boolean, checkInput, integer, list, map, string, structure, timestamp } from '../shapes.ts'
import { decodeCbor, encodeCborError, encodeCborResult } from './cbor.ts'
import { decodeJson, encodeJsonError, encodeJsonResult, jsonVersion } from './json.ts'
import { decodeQueryInput, encodeEc2Error, encodeQueryError, encodeQueryResult, parseQueryForm } from './query.ts'
import { encodeRestXmlError } from './rest-xml-error.ts'

function errorTypeOf(action: () => unknown): string {
  try {
    action()
  } catch (error) {
    if (error instanceof AwsError) return error.type
    throw error
  }
  return 'none'
}

describe('AWS JSON', () => {
  it('reads what JSON.parse reads', () => {
    fc.assert(
      fc.property(fc.dictionary(fc.string(), fc.jsonValue({ maxDepth: 5 })), (value) => {
        expect(decodeJson(Buffer.from(JSON.stringify(value)))).toEqual(JSON.parse(JSON.stringify(value)))
      }),
    )
  })

  it('takes an empty body for an empty input', () => {
    expect(decodeJson(Buffer.alloc(0))).toEqual({})
  })

  it.each([
    ['no JSON', Buffer.from('{"a":')],
    ['an open string', Buffer.from('{"a')],
    ['an open string that ends in a backslash', Buffer.from('{"a\\')],
    ['a list', Buffer.from('[]')],
    ['null', Buffer.from('null')],
    ['a byte order mark', Buffer.from('\ufeff{}')],
    ['broken UTF-8', Buffer.from([0x7b, 0x22, 0xff, 0x22, 0x3a, 0x31, 0x7d])],
    ['deep lists', Buffer.from(`{"a":${'['.repeat(100_000)}`)],
    ['deep structures', Buffer.from(`${'{"a":'.repeat(65)}1${'}'.repeat(65)}`)],
    ['a list of too many', Buffer.from(`{"a":[${'0,'.repeat(20_000)}0]}`)],
    ['too many structures', Buffer.from(`{"a":${'[{}]'.repeat(10_001)}}`)],
    ['too many members', Buffer.from(`{${Array.from({ length: 20_001 }, (_, n) => `"k${n}":0`).join(',')}}`)],
  ])('refuses %s', (_, body) => {
    expect(errorTypeOf(() => decodeJson(body))).toBe('SerializationException')
  })

  it('does not take brackets in texts for depth', () => {
    const text = `${'['.repeat(200)}"\\${'{'.repeat(200)}`

    expect(decodeJson(Buffer.from(JSON.stringify({ text })))).toEqual({ text })
  })

  it('never repeats the body in an error', () => {
    expect(() => decodeJson(Buffer.from('{"password": hunter2}'))).toThrow(/^(?!.*hunter2)/)
  })

  it('writes times as seconds, bytes as base64 and maps as objects', () => {
    const { body, headers } = encodeJsonResult(
      { at: new Date(1_790_856_000_123), bytes: Buffer.from('abc'), of: new Map([['a', 1]]), gone: undefined, list: [new Date(0)] },
      '1.1',
    )

    expect(body).toBe('{"at":1790856000.123,"bytes":"YWJj","of":{"a":1},"list":[0]}')
    expect(headers['Content-Type']).toBe('application/x-amz-json-1.1')
    expect(encodeJsonResult(undefined, '1.0')).toMatchObject({ body: '{}', headers: { 'Content-Type': 'application/x-amz-json-1.0' } })
  })

  it('writes errors with their members', () => {
    const error = new AwsError('InvalidLayerPartException', 'out of order', { members: { lastValidByteReceived: 7 } })

    expect(encodeJsonError(error, '1.1')).toEqual({
      status: 400,
      headers: { 'Content-Type': 'application/x-amz-json-1.1', 'x-amzn-ErrorType': 'InvalidLayerPartException' },
      body: '{"__type":"InvalidLayerPartException","message":"out of order","lastValidByteReceived":7}',
    })
  })

  it('answers in the version that asked', () => {
    expect(jsonVersion('application/x-amz-json-1.0')).toBe('1.0')
    expect(jsonVersion('application/x-amz-json-1.1')).toBe('1.1')
    expect(jsonVersion(undefined)).toBe('1.1')
  })
})

describe('AWS Query', () => {
  const shape = structure({
    Name: string(),
    Count: integer(),
    Force: boolean(),
    At: timestamp(),
    Tags: list(structure({ Key: string(), Value: string() })),
    Names: list(string()),
    Attributes: map(string(), string()),
  })

  function decode(text: string): unknown {
    return checkInput(shape, decodeQueryInput(parseQueryForm(Buffer.from(text)), shape)).input
  }

  it('reads scalars, lists, structures and maps', () => {
    const form = [
      'Action=Do&Version=2011-06-15',
      'Name=caf%C3%A9+%26+co&Count=-3&Force=true&At=2026-11-23T06:34:56.5Z',
      'Tags.member.2.Key=b&Tags.member.1.Key=a&Tags.member.1.Value=&Tags.member.10.Key=c',
      'Names.member.1=x',
      'Attributes.entry.1.key=__proto__&Attributes.entry.1.value=v',
    ].join('&')

    expect(parseQueryForm(Buffer.from(form))).toMatchObject({ action: 'Do', version: '2011-06-15' })
    expect(decode(form)).toEqual({
      Name: 'café & co',
      Count: -3,
      Force: true,
      At: new Date('2026-11-23T06:34:56.500Z'),
      Tags: [{ Key: 'a', Value: '' }, { Key: 'b' }, { Key: 'c' }],
      Names: ['x'],
      Attributes: Object.fromEntries([['__proto__', 'v']]),
    })
  })

  it('reads an empty list', () => {
    expect(decode('Tags=')).toEqual({ Tags: [] })
  })

  it('cannot reach a prototype', () => {
    expect(decode('__proto__.polluted=1&constructor.prototype.polluted=1')).toEqual({})
    expect(({} as Record<string, unknown>)['polluted']).toBeUndefined()
  })

  it.each([
    ['an escape that is none', 'Name=%zz'],
    ['broken UTF-8', 'Name=%ff'],
    ['a repeated parameter', 'Name=a&Name=b'],
    ['a word for a number', 'Count=many'],
    ['a word for a boolean', 'Force=yes'],
    ['a date for a time', 'At=2026-11-23'],
    ['a structure for a text', 'Name.a=1'],
    ['an element without number', 'Names.member.x=1'],
    ['an entry without value', 'Attributes.entry.1.key=a'],
    ['a deep name', `${'a.'.repeat(20)}b=1`],
    ['too many parameters', Array.from({ length: 5001 }, (_, index) => `a${index}=`).join('&')],
  ])('refuses %s', (_, text) => {
    expect(errorTypeOf(() => decode(text))).toBe('MalformedInput')
  })

  it('never throws anything but a refusal', () => {
    fc.assert(fc.property(fc.string(), (text) => void errorTypeOf(() => decode(text))))
  })

  it('writes results', () => {
    const output = { Account: '1', At: new Date(0), Tags: [{ Key: '<&>"\u0001' }], Attributes: new Map([['a', 'b']]), gone: undefined }

    expect(encodeQueryResult(output, { action: 'Do', xmlns: 'urn:x', requestId: 'id' }).body).toBe(
      '<?xml version="1.0" encoding="UTF-8"?>\n<DoResponse xmlns="urn:x"><DoResult><Account>1</Account><At>1970-01-01T00:00:00.000Z</At>' +
        '<Tags><member><Key>&lt;&amp;&gt;&quot;\ufffd</Key></member></Tags><Attributes><entry><key>a</key><value>b</value></entry></Attributes>' +
        '</DoResult><ResponseMetadata><RequestId>id</RequestId></ResponseMetadata></DoResponse>',
    )
    expect(encodeQueryResult(undefined, { action: 'Do', xmlns: 'urn:x', requestId: 'id' }).body).not.toContain('DoResult')
  })

  it('writes errors, and says whose fault they are', () => {
    const sender = encodeQueryError(new AwsError('AccessDenied', 'no', { status: 403 }), { xmlns: 'urn:x', requestId: 'id' })
    const receiver = encodeQueryError(new AwsError('InternalFailure', 'no', { status: 500 }), { requestId: 'id' })

    expect(sender).toMatchObject({ status: 403, headers: { 'Content-Type': 'text/xml' } })
    expect(sender.body).toContain(
      '<ErrorResponse xmlns="urn:x"><Error><Type>Sender</Type><Code>AccessDenied</Code><Message>no</Message></Error><RequestId>id</RequestId></ErrorResponse>',
    )
    expect(receiver.body).toContain('<Type>Receiver</Type>')
  })
})

describe('errors of services that are not here', () => {
  const error = new AwsError('NotImplemented', 'a & b', { status: 501 })

  it('are written as S3 writes them', () => {
    expect(encodeRestXmlError(error, { resource: '/bucket/<key>', requestId: 'id' })).toEqual({
      status: 501,
      headers: { 'Content-Type': 'application/xml' },
      body: '<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>NotImplemented</Code><Message>a &amp; b</Message><Resource>/bucket/&lt;key&gt;</Resource><RequestId>id</RequestId></Error>',
    })
  })

  it('are written as EC2 writes them', () => {
    expect(encodeEc2Error(error, 'id').body).toContain('<Response><Errors><Error><Code>NotImplemented</Code>')
  })

  it('are written in CBOR', () => {
    const body = encodeCborError(new AwsError('AB', 'é')).body as Buffer

    // A map of two pairs; texts as short as these have their length in the first byte.
    const text = (value: string): string => `${(0x60 + Buffer.byteLength(value)).toString(16)}${Buffer.from(value).toString('hex')}`
    expect(body.toString('hex')).toBe(`a2${text('__type')}${text('AB')}${text('message')}${text('é')}`)
  })
})

describe('CBOR', () => {
  const written = (value: object): Buffer => encodeCborResult(value, new Set(['whole'])).body as Buffer

  it('reads what it writes, and dates as seconds', () => {
    fc.assert(
      fc.property(fc.dictionary(fc.string(), fc.jsonValue({ maxDepth: 5 })), (value) => {
        // JSON has no -0, which CBOR keeps.
        expect(JSON.parse(JSON.stringify(decodeCbor(written(value))))).toEqual(JSON.parse(JSON.stringify(value)))
      }),
    )
    expect(decodeCbor(written({ at: new Date(1_500), whole: 7, lists: { whole: [1, 300, 70_000, 2 ** 40, -5] } }))).toEqual({ at: 1.5, whole: 7, lists: { whole: [1, 300, 70_000, 2 ** 40, -5] } })
  })

  it('writes whole numbers where they are meant, and doubles everywhere else', () => {
    expect(written({ whole: 60 }).toString('hex')).toBe('a1' + '6577686f6c65' + '183c')
    expect(written({ part: 60 }).toString('hex')).toBe('a1' + '6470617274' + 'fb404e000000000000')
    expect(encodeCborResult(undefined, new Set())).toEqual({ status: 200, headers: { 'smithy-protocol': 'rpc-v2-cbor' }, body: '' })
  })

  it.each([
    ['what is cut off', 'a1'],
    ['what follows the end', 'a000'],
    ['a list', '80'],
    ['a text', '6161'],
    ['bytes', '4101'],
    ['a key that is no text', 'a10102'],
    ['an unknown tag', 'a16161c000'],
    ['a tag of a tag', 'a16161c1c100'],
    ['a whole number beyond what is exact', 'a161611bffffffffffffffff'],
    ['a list longer than the body', 'a161619bffffffffffffffff00'],
    ['what is too deep', `a16161${'81'.repeat(65)}00`],
    ['too many items', `a161619a00004e21${'00'.repeat(20_001)}`],
    ['too many within each other', '81'.repeat(500_000)],
  ])('refuses %s', (_, hex) => {
    expect(errorTypeOf(() => decodeCbor(Buffer.from(hex, 'hex')))).toBe('SerializationException')
  })

  it('takes indefinite lengths, halves of doubles and what is undefined', () => {
    expect(decodeCbor(Buffer.from('bf' + '616102' + '61629ff93c00ff' + '6163f7' + 'ff', 'hex'))).toEqual({ a: 2, b: [1], c: null })
  })
})
