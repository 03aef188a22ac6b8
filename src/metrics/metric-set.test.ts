import { describe, expect, it } from 'vitest'
import { isList, mostSeries, type MetricDeclaration } from './declaration.ts'
import { declaredMetrics } from './declared-metrics.ts'
import { MetricSet } from './metric-set.ts'

const declarations: [string, MetricDeclaration][] = Object.entries(declaredMetrics)

describe('declared metrics', () => {
  it.each(declarations)('%s has a unit, a sentence, labels with bounds and ascending buckets', (name, { type, unit, help, labels, buckets }) => {
    expect(unit).not.toBe('')
    expect(help).toMatch(/^[A-Z1].*[^.]$/u)
    expect(name.endsWith('_total')).toBe(type === 'counter')
    expect(buckets !== undefined).toBe(type === 'histogram')
    expect(buckets ?? []).toEqual([...(buckets ?? [])].sort((one, other) => one - other))
    for (const values of Object.values(labels)) expect(isList(values) ? values.length : values.atMost).toBeGreaterThan(0)
  })
})

describe('a set of metrics', () => {
  it('tells counters and histograms as Prometheus reads them', async () => {
    const set = new MetricSet()
    const errors = set.counter('stowage_http_errors_total')
    errors({ protocol: 'oci', code: 'say "no"\\\n' }).add()
    errors({ protocol: 'oci', code: 'say "no"\\\n' }).add(2)
    const duration = set.histogram('stowage_database_command_duration_seconds')({})
    for (const value of [0.001, 0.002, 7, 100]) duration.observe(value)

    const text = await set.text()

    expect(text).toContain('stowage_http_errors_total{protocol="oci",code="say \\"no\\"\\\\\\n"} 3\n')
    expect(text).toContain('# TYPE stowage_database_command_duration_seconds histogram\nstowage_database_command_duration_seconds_bucket{le="0.001"} 1\n')
    expect(text).toContain('{le="0.0025"} 2\n')
    expect(text).toContain('{le="5"} 2\n')
    expect(text).toContain('{le="30"} 3\n')
    expect(text).toContain('{le="+Inf"} 4\nstowage_database_command_duration_seconds_sum 107.003\nstowage_database_command_duration_seconds_count 4\n')
  })

  it('folds into `other` what a label does not declare, and what is beyond its number', async () => {
    const set = new MetricSet()
    set.counter('stowage_http_aborted_total')({ protocol: 'gopher' }).add()
    const errors = set.counter('stowage_http_errors_total')
    for (let n = 0; n < 5000; n += 1) errors({ protocol: `p${n}`, code: `CODE_${n}` }).add()

    const lines = (await set.text()).split('\n').filter((line) => line.startsWith('stowage_http_'))

    expect(lines).toContain('stowage_http_aborted_total{protocol="other"} 1')
    expect(lines).toContain('stowage_http_errors_total{protocol="other",code="other"} 4700')
    const ofErrors = lines.filter((line) => line.startsWith('stowage_http_errors_total'))
    expect(ofErrors).toHaveLength(declaredMetrics.stowage_http_errors_total.labels.code.atMost + 1)
    expect(ofErrors.length).toBeLessThanOrEqual(mostSeries(declaredMetrics.stowage_http_errors_total))
  })

  it('adds up what is read for the same labels, and leaves out what cannot be read', async () => {
    const set = new MetricSet()
    set.read('stowage_gc_overdue_seconds', () => [
      [{ kind: 'new kind' }, 1],
      [{ kind: 'newer kind' }, 2],
    ])
    set.read('stowage_images', () => Promise.reject(new Error('no database')))
    set.read('stowage_uploads_open', () => undefined)

    const text = await set.text()

    expect(text).toContain('stowage_gc_overdue_seconds{kind="other"} 3\n')
    expect(text).not.toContain('stowage_images')
    expect(text).not.toContain('stowage_uploads_open')
  })

  it('begins counters of few series with 0, so that their first rise is one', async () => {
    const set = new MetricSet()
    set.counter('stowage_blobs_set_aside_total')
    set.counter('stowage_http_errors_total')
    expect((await set.text()).split('\n').filter((line) => line.startsWith('stowage'))).toEqual([
      'stowage_blobs_set_aside_total{damage="missing"} 0',
      'stowage_blobs_set_aside_total{damage="wrong-size"} 0',
      'stowage_blobs_set_aside_total{damage="corrupt"} 0',
    ])
  })

  it('takes no second instrument for a metric', () => {
    const set = new MetricSet()
    set.counter('stowage_http_errors_total')
    expect(() => set.counter('stowage_http_errors_total')).toThrow('measured twice')
  })
})
