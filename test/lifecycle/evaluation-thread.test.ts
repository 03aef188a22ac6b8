import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { EvaluationThread } from '../../src/lifecycle/index.ts'
import { readRepository } from '../../src/registry/change.ts'
import { parseRepositoryName } from '../../src/values/index.ts'
import { databases, startRegistry, type RegistryFixture } from '../support/registry.ts'
import { newest, policyText } from './lifecycle-world.ts'

/** Several windows of the reader and several pages of a preview. */
const imageCount = 2500
const policies = [{ grammar: 'ecr', document: policyText(newest(100)) }]

describe.each(databases)('evaluations in a thread, on %s', (kind) => {
  let fixture: RegistryFixture
  let repositoryId: number
  let thread: EvaluationThread
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
    thread = new EvaluationThread(fixture.target, () => Promise.resolve())
  })
  afterAll(async () => {
    await thread.stop()
    await fixture.stop()
  })

  const request = () => ({ repositoryId, account: '000000000000', policies, nowMs: imageCount })

  it('answer for every image, several at a time', async () => {
    const answers = await Promise.all(Array.from({ length: 6 }, () => thread.evaluate(request())))
    for (const { decisions, ids, fingerprints } of answers) {
      expect(decisions).toMatchObject({ imageCount, expireCount: imageCount - 100 })
      expect([ids.length, fingerprints.length]).toEqual([imageCount, imageCount])
    }
  })

  it('give the pages of a preview one after the other', async () => {
    const counts: number[] = []
    let isBusy = false
    const summary = await thread.preview(request(), async ({ results }) => {
      expect(isBusy).toBe(false)
      isBusy = true
      await new Promise((resolve) => setImmediate(resolve))
      isBusy = false
      counts.push((JSON.parse(Buffer.from(results).toString()) as unknown[]).length)
    })
    expect([summary, counts]).toEqual([{ expire: imageCount - 100, transition: 0 }, [1000, 1000, 400]])
  })

  it('end where nobody waits for them, and leave the thread to others', async () => {
    const reason = new Error('nobody waits')
    const given = thread.evaluate(request(), AbortSignal.abort(reason))
    await expect(given).rejects.toBe(reason)
    const stop = new AbortController()
    const begun = thread.preview(request(), () => {
      stop.abort(reason)
      return Promise.resolve()
    }, stop.signal)
    await expect(begun).rejects.toBe(reason)
    await expect(thread.preview(request(), () => Promise.reject(reason))).rejects.toBe(reason)
    expect((await thread.evaluate(request())).decisions.imageCount).toBe(imageCount)
  })

  it('of an account with many wait for each other, and not for those of another', async () => {
    const done: string[] = []
    const ask = (account: string) => thread.evaluate({ ...request(), account }).then(() => done.push(account))
    await Promise.all([...Array.from({ length: 12 }, () => ask('many')), ask('few')])
    expect(done.indexOf('few')).toBeLessThan(6)
  })

  it('are refused beyond a number that wait', async () => {
    const stop = new AbortController()
    const asked = Array.from({ length: 120 }, () => thread.evaluate(request(), stop.signal))
    const settled = Promise.allSettled(asked)
    await expect(thread.evaluate(request())).rejects.toMatchObject({ code: 'too-many-evaluations' })
    expect((await thread.evaluate({ ...request(), account: 'other' })).decisions.imageCount).toBe(imageCount)
    stop.abort(new Error('enough'))
    await settled
  })

  it('are refused when the server stops', async () => {
    const stopping = new EvaluationThread(fixture.target, () => Promise.resolve())
    const running = Array.from({ length: 6 }, () => stopping.evaluate(request()))
    const settled = Promise.allSettled(running)
    await stopping.stop()
    expect((await settled).map(({ status }) => status)).toEqual(running.map(() => 'rejected'))
    await expect(stopping.evaluate(request())).rejects.toThrow('the server stops')
  })
})
