import { expect, it } from 'vitest'
import { AppendQueue } from './append-queue.ts'
import type { LineBatch } from './commands/append.ts'

const batch: LineBatch = { place: { accountId: '111122223333', region: 'us-east-1' }, group: 'g', stream: 's', lines: '[[1,"a"]]', count: 1, firstAt: 1, lastAt: 1, bytes: 27 }

it.each([...Array(12).keys()])('answers who comes %i steps after the batches before were written', async (steps) => {
  const written = Promise.withResolvers<undefined>()
  let calls = 0
  const queue = new AppendQueue(async (batches) => {
    calls += 1
    if (calls === 1) await written.promise
    return batches.map(() => ({ kind: 'taken', expiredCount: 0, lastNumber: 1 }))
  })
  const first = queue.add(batch)
  await new Promise(setImmediate)
  written.resolve(undefined)
  for (let step = 0; step < steps; step += 1) await Promise.resolve()
  let isAnswered = false
  void queue.add(batch).then(() => {
    isAnswered = true
  })
  await first
  await new Promise(setImmediate)
  expect(isAnswered).toBe(true)
})
