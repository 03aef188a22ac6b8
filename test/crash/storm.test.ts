import { describe, expect, it } from 'vitest'
import { databases } from '../support/registry.ts'
import { runStorm } from './storm/storm.ts'
import { TagHistory } from './storm/tag-history.ts'

/** `make storm` sets these; a run of all tests takes the defaults. */
const rounds = Number(process.env['STORM_ROUNDS'] ?? 12)
const seed = Number(process.env['STORM_SEED'] ?? 20_260_101)
const only = process.env['STORM_DATABASE']

/** Far more than a round takes on a busy machine, so that only one that hangs runs into it. */
const roundTimeoutMs = 20_000

describe.each(databases.filter((kind) => only === undefined || only === kind))('a storm of kill -9 on %s', (database) => {
  it('loses nothing that was acknowledged, and leaves nothing half done', { timeout: 120_000 + rounds * roundTimeoutMs }, async () => {
    const say = (line: string): void => {
      process.stderr.write(`storm on ${database}, STORM_SEED=${seed}: ${line}\n`)
    }
    say(`${rounds} rounds`)
    const report = await runStorm({ database, rounds, seed, ...(rounds > 20 ? { onProgress: say } : {}) })
    say(`${report.rounds} kills, ${report.images} images, ${JSON.stringify(report.counts)}, ${report.violations.length} violations`)
    expect(report.violations).toEqual([])
    expect(report.rounds).toBe(rounds)
    expect(report.counts.unanswered).toBeGreaterThan(rounds)
    expect(report.counts.reads).toBeGreaterThan(0)
  })
})

describe('what a tag may point at', () => {
  const set = (digest: string, sentAt: number, answeredAt?: number) => ({ kind: 'set' as const, digest, sentAt, ...(answeredAt === undefined ? {} : { answeredAt }) })

  it('is the last acknowledged write, where one followed the other', () => {
    const history = new TagHistory()
    history.begin(set('a', 1, 2))
    history.begin(set('b', 3, 4))
    expect(history.possible()).toEqual(new Set(['b']))
  })

  it('is any of those that overlapped', () => {
    const history = new TagHistory()
    history.begin(set('a', 1, 3))
    history.begin(set('b', 2, 4))
    expect(history.possible()).toEqual(new Set(['a', 'b']))
  })

  it('may be a write without an answer, and may be what was before it', () => {
    const history = new TagHistory()
    history.settle('old')
    history.begin(set('a', 1))
    expect(history.possible()).toEqual(new Set(['old', 'a']))
    history.begin(set('b', 2, 3))
    expect(history.possible()).toEqual(new Set(['a', 'b']))
  })

  it('is nothing once the image it points at was deleted', () => {
    const history = new TagHistory()
    history.begin(set('a', 1, 2))
    history.begin({ kind: 'remove-image', digest: 'a', sentAt: 3, answeredAt: 4 })
    expect(history.possible()).toEqual(new Set([undefined]))
  })
})
