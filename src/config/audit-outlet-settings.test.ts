import { expect, it } from 'vitest'
import { auditOutletSettings } from './audit-outlet-settings.ts'

const places = auditOutletSettings.auditExport

it.each([
  ['s3://audit-logs', { bucket: 'audit-logs', prefix: '' }],
  ['s3://audit-logs/', { bucket: 'audit-logs', prefix: '' }],
  ["s3://audit.logs/a/it's_(1)!*/", { bucket: 'audit.logs', prefix: "a/it's_(1)!*" }],
  ['s3://audit-logs/...', { bucket: 'audit-logs', prefix: '...' }],
  ['/mnt/trail', { folder: '/mnt/trail' }],
])('%s is a place for exports', (text, place) => {
  expect(places.parse(text)).toEqual(place)
})

it.each(['s3://', 's3://A', 's3://ab', 's3://audit-logs/a//b', 's3://audit-logs/../other', 's3://audit-logs/.', 's3://audit-logs/a b', 's3://audit-logs/ä', 'https://audit-logs'])('%s is none', (text) => {
  expect(places.safeParse(text).success).toBe(false)
})

it.each([
  ['tls://logs.example.com', { transport: 'tls', host: 'logs.example.com', port: 6514 }],
  ['tcp://logs.example.com', { transport: 'tcp', host: 'logs.example.com', port: 601 }],
  ['udp://10.0.0.9', { transport: 'udp', host: '10.0.0.9', port: 514 }],
  ['udp://[fd00::9]:5514/', { transport: 'udp', host: 'fd00::9', port: 5514 }],
])('%s is a syslog server', (text, address) => {
  expect(auditOutletSettings.auditSyslog.parse(text)).toEqual(address)
})

it.each(['logs.example.com', 'http://logs.example.com', 'udp://', 'udp://a:0', 'udp://a:65536', 'udp://a/b'])('%s is no syslog server', (text) => {
  expect(auditOutletSettings.auditSyslog.safeParse(text).success).toBe(false)
})
