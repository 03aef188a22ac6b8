import { expect, it } from 'vitest'
import { GraphLines } from './graph-lines.ts'

const span = { from: 0, to: 21_600 * 60_000 }
const metric = (id: string) => ({ Id: id, MetricStat: { Metric: { Namespace: 'N', MetricName: 'M' }, Period: 60, Stat: 'Sum' } })

it('refuses lists of lists that grow without end', async () => {
  const doublings = Array.from({ length: 20 }, (_, n) => ({ Id: `e${n + 1}`, Expression: `[e${n}, e${n}]` }))
  const queries = [metric('m1'), { Id: 'e0', Expression: 'METRICS()' }, ...doublings]
  const lines = new GraphLines(queries, span, () => Promise.resolve([]))
  await expect(lines.of(queries.at(-1)!)).rejects.toThrow(/too many values/u)
})

it('refuses a request that has it compute with more values than there may be', async () => {
  const values = Array.from({ length: 21_600 }, (_, n) => ({ at: n * 60_000, value: n }))
  const metrics = Array.from({ length: 50 }, (_, n) => metric(`m${n}`))
  const all = { Id: 'all', Expression: 'SUM(METRICS())' }
  const long = { Id: 'long', Expression: Array(50).fill('m0').join('+') }
  const few = { Id: 'few', Expression: 'm0 + m1' }
  const lines = new GraphLines([...metrics, all, long, few], span, () => Promise.resolve(values))
  expect((await lines.of(few))[0]?.series.size).toBe(21_600)
  await expect(lines.of(long)).rejects.toThrow(/too many values/u)
  await expect(new GraphLines([...metrics, all], span, () => Promise.resolve(values)).of(all)).rejects.toThrow(/more than 1,000,000 values/u)
})
