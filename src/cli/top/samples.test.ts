import { expect, it } from 'vitest'
import { activityBetween } from './activity.ts'
import { quantile, rise, Samples } from './samples.ts'
import { activityText } from './show-top.ts'

const name = 'stowage_http_request_duration_seconds'
const head = 'stowage_build_info{version="1",database="sqlite"} 1\nprocess_start_time_seconds 100\n'

it('reads what servers tell, and passes over the rest', () => {
  const samples = new Samples(0, '# HELP a b\na{x="1",y="say \\"no\\"\\n"} 2\na{x="2",y=""} 3\nb 4.5\n\nnonsense\nc +Inf\n')
  expect(samples.of('a')).toEqual([{ labels: { x: '1', y: 'say "no"\n' }, value: 2 }, { labels: { x: '2', y: '' }, value: 3 }])
  expect([samples.sum('a'), samples.sum('a', { x: '2' }), samples.sum('a', { x: '3' }), samples.sum('b'), samples.sum('c')]).toEqual([5, 3, undefined, 4.5, Number.POSITIVE_INFINITY])
})

it('takes what rose between two moments', () => {
  const before = new Samples(0, `${name}_bucket{operation="a",le="0.1"} 100\n${name}_bucket{operation="a",le="1"} 100\n${name}_bucket{operation="a",le="+Inf"} 100\n`)
  const after = new Samples(0, `${name}_bucket{operation="a",le="0.1"} 150\n${name}_bucket{operation="a",le="1"} 190\n${name}_bucket{operation="a",le="+Inf"} 200\n`)
  expect(rise(before, after, `${name}_bucket`, { le: '1' })).toBe(90)
  // Half of what was observed is below 0.1; nine tenths are below 1; more is beyond the last bound.
  expect(quantile(0.25, before, after, name)).toBeCloseTo(0.05)
  expect(quantile(0.5, before, after, name)).toBeCloseTo(0.1)
  expect(quantile(0.7, before, after, name)).toBeCloseTo(0.55)
  expect(quantile(0.99, before, after, name)).toBe(1)
  expect(quantile(0.5, after, after, name)).toBeUndefined()
})

it('tells the activity of one server, and of no two', () => {
  const series = (count: number, failed: number): string =>
    `${head}stowage_http_requests_total{protocol="oci",operation="getManifest",status="2xx"} ${count}\nstowage_http_requests_total{protocol="oci",operation="getManifest",status="5xx"} ${failed}\nstowage_image_pulls_total{protocol="oci"} ${count}\nstowage_disk_used_bytes{disk="blobs"} 9\nstowage_disk_free_bytes{disk="blobs"} 1\nstowage_disk_full_timestamp_seconds{disk="blobs"} 86400\nstowage_gc_overdue_seconds{kind="blob"} 7201\n`
  const before = new Samples(10_000, series(5, 0))
  const activity = activityBetween(before, new Samples(20_000, series(105, 10)))
  expect(activity).toMatchObject({
    seconds: 10,
    requests: { perSecond: 11, failedPerSecond: 1 },
    images: { pullsPerSecond: 10 },
    operations: [{ protocol: 'oci', operation: 'getManifest', perSecond: 11, refusedPerSecond: 1 }],
    disks: [{ disk: 'blobs', usedBytes: 9, freeBytes: 1, fullAt: '1970-01-02T00:00:00.000Z' }],
  })
  expect(activityText(activity!)).toContain('full on 1970-01-02')
  expect(activityText(activity!)).toContain('the first due for 2.0 h')
  expect(activityBetween(before, new Samples(20_000, series(105, 10).replace('seconds 100', 'seconds 101')))).toBeUndefined()
})
