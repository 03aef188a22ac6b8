import type { IncomingHttpHeaders } from 'node:http'
import { describe, expect, it } from 'vitest'
import { loadConfig } from '../config/index.ts'
import { createSourceReader, type RequestSource } from './source.ts'

function read(proxies: string, peer: string, headers: IncomingHttpHeaders, encrypted = false): RequestSource {
  const { trustedProxies } = loadConfig({ STOWAGE_TRUSTED_PROXIES: proxies })
  return createSourceReader(trustedProxies)({ peer, encrypted, headers: { host: 'registry:5050', ...headers } })
}

describe('the source address', () => {
  it.each<[rule: string, proxies: string, peer: string, forwardedFor: string | undefined, sourceIp: string]>([
    ['is the peer without proxies', '', '203.0.113.9', undefined, '203.0.113.9'],
    ['ignores a forged header when nobody is trusted', '', '203.0.113.9', '10.0.0.1', '203.0.113.9'],
    ['ignores a forged header of a peer that is not trusted', '10.0.0.0/8', '203.0.113.9', '127.0.0.1', '203.0.113.9'],
    ['believes a trusted proxy', '10.0.0.0/8', '10.0.0.2', '203.0.113.9', '203.0.113.9'],
    ['is not moved by what a client put before its own address', '10.0.0.0/8', '10.0.0.2', '1.1.1.1, 127.0.0.1, 203.0.113.9', '203.0.113.9'],
    ['is not moved by a forged trusted address either', '10.0.0.0/8', '10.0.0.2', '10.9.9.9, 203.0.113.9', '203.0.113.9'],
    ['walks through several trusted proxies', '10.0.0.0/8,192.168.0.1', '10.0.0.2', '203.0.113.9, 192.168.0.1, 10.0.0.7', '203.0.113.9'],
    ['is the first proxy when all are trusted', '10.0.0.0/8', '10.0.0.2', '10.0.0.5, 10.0.0.4', '10.0.0.5'],
    ['stops at an entry that is no address', '10.0.0.0/8', '10.0.0.2', '203.0.113.9, unknown, 10.0.0.7', '10.0.0.7'],
    ['is the proxy when the header is garbage', '10.0.0.0/8', '10.0.0.2', '<script>', '10.0.0.2'],
    ['is the proxy when the header is empty', '10.0.0.0/8', '10.0.0.2', ' , ', '10.0.0.2'],
    ['drops a port', '10.0.0.0/8', '10.0.0.2', '203.0.113.9:40000', '203.0.113.9'],
    ['reads IPv6 with brackets and port', 'fd00::/8', 'fd00::1', '[2001:DB8:0:0::9]:443', '2001:db8::9'],
    ['reads bare IPv6', 'fd00::/8', 'fd00::1', '2001:db8::9', '2001:db8::9'],
    ['knows an IPv4 proxy in IPv6 spelling', '10.0.0.0/8', '::ffff:10.0.0.2', '203.0.113.9', '203.0.113.9'],
    ['writes an IPv4 client in IPv6 spelling as IPv4', '', '::ffff:203.0.113.9', undefined, '203.0.113.9'],
    ['drops a zone', '', 'fe80::1%eth0', undefined, 'fe80::1'],
    ['does not walk for ever', '10.0.0.0/8', '10.0.0.2', `203.0.113.9${', 10.0.0.3'.repeat(40)}`, '10.0.0.3'],
  ])('%s', (_rule, proxies, peer, forwardedFor, sourceIp) => {
    const headers = forwardedFor === undefined ? {} : { 'x-forwarded-for': forwardedFor }

    expect(read(proxies, peer, headers).sourceIp).toBe(sourceIp)
  })
})

describe('host and scheme', () => {
  it.each<[rule: string, proxies: string, headers: IncomingHttpHeaders, expected: Partial<RequestSource>]>([
    ['come from the request itself', '', {}, { host: 'registry:5050', secure: false }],
    ['ignore headers of strangers', '', { 'x-forwarded-proto': 'https', 'x-forwarded-host': 'evil' }, { host: 'registry:5050', secure: false }],
    [
      'come from a trusted proxy',
      '10.0.0.2',
      { 'x-forwarded-for': '203.0.113.9', 'x-forwarded-proto': 'https', 'x-forwarded-host': 'Registry.Example.com' },
      { host: 'registry.example.com', secure: true },
    ],
    [
      'come from the proxy that met the client',
      '10.0.0.0/8',
      { 'x-forwarded-for': '203.0.113.9, 10.0.0.3', 'x-forwarded-proto': 'https, http' },
      { secure: true },
    ],
    [
      'are not forged in front of a proxy that appends',
      '10.0.0.2',
      { 'x-forwarded-for': '1.1.1.1, 203.0.113.9', 'x-forwarded-proto': 'https, http', 'x-forwarded-host': 'evil, registry' },
      { secure: false, host: 'registry' },
    ],
    ['take the last of an uneven list', '10.0.0.2', { 'x-forwarded-for': '203.0.113.9', 'x-forwarded-host': 'evil, registry' }, { host: 'registry' }],
    ['are unusable when the host is', '', { host: 'a b' }, { host: undefined }],
    ['are unusable when the host only folds to letters', '', { host: 'hoſt' }, { host: undefined }],
    ['are unusable when the forwarded host is', '10.0.0.2', { 'x-forwarded-host': 'a/b' }, { host: undefined }],
  ])('%s', (_rule, proxies, headers, expected) => {
    expect(read(proxies, '10.0.0.2', headers)).toMatchObject(expected)
  })

  it('keep an encrypted connection secure unless the proxy says otherwise', () => {
    expect(read('', '10.0.0.2', {}, true).secure).toBe(true)
    expect(read('10.0.0.2', '10.0.0.2', {}, true).secure).toBe(true)
    expect(read('10.0.0.2', '10.0.0.2', { 'x-forwarded-proto': 'http' }, true).secure).toBe(false)
  })
})
