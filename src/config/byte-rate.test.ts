import { expect, it } from 'vitest'
import { parseByteRate } from './byte-rate.ts'

it.each([
  ['50MB/s', 50_000_000],
  ['8MiB/s', 8 * 1024 * 1024],
  ['1.5 GB/s', 1_500_000_000],
  ['500kb/s', 500_000],
  ['1B/s', 1],
])('reads %s as %d bytes per second', (text, bytesPerSecond) => {
  expect(parseByteRate(text)).toBe(bytesPerSecond)
})

it.each(['', '50', '50MB', 'MB/s', '0MB/s', '-1MB/s', '1TB/s', '1e9B/s', '50MB/m', '0.1B/s', '9999999MB/s'])('refuses %j', (text) => {
  expect(parseByteRate(text)).toBeUndefined()
})
