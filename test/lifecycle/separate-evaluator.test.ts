import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { readdirSync, readFileSync } from 'node:fs'
import { getPriority } from 'node:os'
import { assemble, evaluateParts } from '../../src/lifecycle/evaluator.ts'
import { SeparateEvaluator } from '../../src/lifecycle/index.ts'
import { readResults } from '../../src/lifecycle/preview-pages.ts'
import { readRepository } from '../../src/registry/change.ts'
import { parseRepositoryName } from '../../src/values/index.ts'
import { databases, startRegistry, type RegistryFixture } from '../support/registry.ts'
import { newest, policyText } from './lifecycle-world.ts'

/** Many windows of the reader, and more pages of a preview than are given away together. */
const imageCount = 5500
const policies = [{ grammar: 'ecr', document: policyText(newest(100)) }]

/** In a process: as if repositories were much larger than a thread takes. */
const places = { thread: undefined, process: 1000 } as const

describe.each(databases.flatMap((kind) => [['thread', kind] as const, ['process', kind] as const]))('evaluations in a %s, on %s', (place, kind) => {
  let fixture: RegistryFixture
  let repositoryId: number
  let separate: SeparateEvaluator
  const evaluator = (): SeparateEvaluator => new SeparateEvaluator(fixture.target, () => Promise.resolve(), places[place])
  beforeAll(async () => {
    fixture = await startRegistry(kind)
    const { registry, context, database } = fixture
    const name = parseRepositoryName('thread/many')
    await registry.createRepository(context, { name, tagMutability: 'MUTABLE', mutabilityFilters: [], scanOnPush: false, tags: {} })
    repositoryId = (await readRepository(database.reader, { registryId: context.registry.id, accountId: context.registry.accountId }, name)).id
    const digest = kind === 'sqlite' ? "unhex('01' || printf('%064x', i))" : "decode('01' || lpad(to_hex(i), 64, '0'), 'hex')"
    await fixture.tamper(
      `insert into manifest (repository_id, digest, media_type, kind, size_bytes, image_size_bytes, pushed_at, pushed_by, storage_class)
       with recursive n(i) as (select 1 union all select i + 1 from n where i < ${imageCount})
       select ${repositoryId}, ${digest}, 'application/vnd.oci.image.manifest.v1+json', 'image', 1, 1, i, 'arn', 'active' from n`,
    )
    separate = evaluator()
  })
  afterAll(async () => {
    await separate.stop()
    await fixture.stop()
  })

  const request = () => ({ repositoryId, account: '000000000000', policies, nowMs: imageCount })

  it('answer for every image, several at a time', async () => {
    const answers = await Promise.all(Array.from({ length: 6 }, () => separate.evaluate(request())))
    for (const { decisions, ids, fingerprints, newestId } of answers) {
      expect(decisions).toMatchObject({ imageCount, expireCount: imageCount - 100 })
      // Only of those that go.
      expect([ids.length, fingerprints.length, [...decisions].length]).toEqual([imageCount - 100, imageCount - 100, imageCount - 100])
      expect(newestId).toBe(ids.at(-1)! + 100)
    }
  })

  it('only count what somebody would have to confirm', async () => {
    const caution = { isOn: true, maxSharePercent: 50, alwaysAllowed: 10 }
    const { decisions, ids, newestId } = await separate.evaluate({ ...request(), caution })
    expect(decisions).toMatchObject({ imageCount, expireCount: imageCount - 100 })
    expect([[...decisions], ids.length]).toEqual([[], 0])
    expect(newestId).toBeGreaterThanOrEqual(imageCount)
    const few = [{ grammar: 'ecr', document: policyText(newest(imageCount - 20)) }]
    expect([...(await separate.evaluate({ ...request(), policies: few, caution })).decisions]).toHaveLength(20)
  })

  it('come to the same wherever they are made', async () => {
    const { decisions, ids, fingerprints } = await separate.evaluate({ ...request(), watch: [] })
    const here = assemble(request(), await evaluateParts(fixture.database.reader, request()))
    expect([[...decisions], ids, fingerprints]).toEqual([[...here.decisions], here.ids, here.fingerprints])
    expect(decisions.counts).toEqual(here.decisions.counts)
  })

  it('say what is wrong with a request', async () => {
    await expect(separate.evaluate({ ...request(), policies: [{ grammar: 'ecr', document: '{' }] })).rejects.toMatchObject({ message: expect.any(String) as string })
  })

  if (place === 'process') it('end with their process, and the next has a new one', async () => {
    // That of the evaluation before takes its time to end.
    await expect.poll(() => childrenOf(process.pid), { timeout: 60_000 }).toEqual([])
    const cut = separate.preview(request(), () => {
      process.kill(childrenOf(process.pid)[0]!, 'SIGKILL')
      return Promise.resolve()
    })
    await expect(cut).rejects.toThrow('the process that evaluates lifecycle policies ended')
    expect((await separate.evaluate(request())).decisions.imageCount).toBe(imageCount)
    await expect.poll(() => childrenOf(process.pid), { timeout: 60_000 }).toEqual([])
  })

  if (place === 'process') it('give way to everything else', async () => {
    let calls = 0
    await separate.preview(request(), () => {
      calls += 1
      expect(getPriority(childrenOf(process.pid)[0])).toBe(10)
      return Promise.resolve()
    })
    expect(calls).toBeGreaterThan(0)
  })

  it('give the pages of a preview some at a time, one after the other', async () => {
    const counts: number[][] = []
    let isBusy = false
    const summary = await separate.preview(request(), async (pages) => {
      expect(isBusy).toBe(false)
      isBusy = true
      await new Promise((resolve) => setImmediate(resolve))
      isBusy = false
      counts.push(pages.map(({ results }) => readResults(results).length))
    })
    expect([summary, counts]).toEqual([{ expire: imageCount - 100, transition: 0 }, [[1000, 1000, 1000, 1000], [1000, 400]]])
  })

  it('end where nobody waits for them, and leave the thread to others', async () => {
    const reason = new Error('nobody waits')
    const given = separate.evaluate(request(), AbortSignal.abort(reason))
    await expect(given).rejects.toBe(reason)
    const stop = new AbortController()
    const begun = separate.preview(request(), () => {
      stop.abort(reason)
      return Promise.resolve()
    }, stop.signal)
    await expect(begun).rejects.toBe(reason)
    await expect(separate.preview(request(), () => Promise.reject(reason))).rejects.toBe(reason)
    expect((await separate.evaluate(request())).decisions.imageCount).toBe(imageCount)
  })

  it('of an account with many wait for each other, and not for those of another', async () => {
    const done: string[] = []
    const ask = (account: string) => separate.evaluate({ ...request(), account }).then(() => done.push(account))
    await Promise.all([...Array.from({ length: 12 }, () => ask('many')), ask('few')])
    expect(done.indexOf('few')).toBeLessThan(6)
  })

  it('are refused beyond a number that wait', async () => {
    const stop = new AbortController()
    const asked = Array.from({ length: 120 }, () => separate.evaluate(request(), stop.signal))
    const settled = Promise.allSettled(asked)
    await expect(separate.evaluate(request())).rejects.toMatchObject({ code: 'too-many-evaluations' })
    expect((await separate.evaluate({ ...request(), account: 'other' })).decisions.imageCount).toBe(imageCount)
    stop.abort(new Error('enough'))
    await settled
  })

  it('are refused when the server stops', async () => {
    const stopping = evaluator()
    const running = Array.from({ length: 6 }, () => stopping.evaluate(request()))
    const settled = Promise.allSettled(running)
    await stopping.stop()
    expect((await settled).map(({ status }) => status)).toEqual(running.map(() => 'rejected'))
    await expect(stopping.evaluate(request())).rejects.toThrow('the server stops')
  })
})

/** Processes that evaluate. */
function childrenOf(parent: number): number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter((pid) => statOf(pid)?.[1] === String(parent) && commandOf(pid).includes('evaluation-process'))
}

function statOf(pid: number): string[] | undefined {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'utf8')
    return text.slice(text.lastIndexOf(')') + 2).split(' ')
  } catch {
    return undefined
  }
}

function commandOf(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8')
  } catch {
    return ''
  }
}
