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
