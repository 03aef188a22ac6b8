import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { DiskEvent } from '../support/fault-disk/recording.ts'
import { startStowage, type Stowage } from '../support/start-stowage.ts'
import { createTempDir, type TempDir } from '../support/temp-dir.ts'
import { ensureTool } from '../support/tools.ts'
import { createBench, type Bench } from './recorded-server.ts'
import { newStory, runScenario } from './scenario.ts'

/*
 * Bytes, name, commit, answer: the order that every promise of a push rests on, seen twice, by the recorder between the
 * server and the C library and by strace between the server and the kernel.
 */

/** What a server does by itself may write between a commit and its answer, and need not be flushed. */
const withoutOwnWork = { STOWAGE_AUDIT: 'off', STOWAGE_GC_INTERVAL_MS: '0' }

const walFile = /stowage\.db-wal$/

describe('in the recording', () => {
  let bench: Bench
  beforeEach(async () => {
    bench = await createBench('order')
  })
  afterEach(() => {
    bench.remove()
  })

  it('each blob is flushed, linked, its folder flushed, the commit flushed, and then answered', async () => {
    const stowage = await bench.start()
    const story = newStory('alice')
    await runScenario(stowage, story)
    await bench.kill(stowage)
    const events = bench.recording()

    const links = events.flatMap((event, index) => (event.operation === 'link' && event.newPath.includes('/sha256/') ? [{ event, index }] : []))
    expect(links.length).toBeGreaterThanOrEqual(4)
    for (const { event, index } of links) {
      const { path, newPath } = event as DiskEvent & { newPath: string }
      const lastWrite = events.findLastIndex((earlier, at) => at < index && earlier.operation === 'write' && earlier.path === path)
      const bytes = events.findIndex((later, at) => at > lastWrite && later.operation === 'fsync' && later.path === path)
      const folder = events.findIndex((later, at) => at > index && later.operation === 'fsync' && newPath.startsWith(`${later.path}/`))
      const commitWrite = events.findIndex((later, at) => at > folder && later.operation === 'write' && walFile.test(later.path))
      const commit = events.findIndex((later, at) => at > commitWrite && later.operation === 'fsync' && walFile.test(later.path))
      const answer = events.findIndex((later, at) => at > index && later.operation === 'answer')

      const order = [lastWrite, bytes, index, folder, commitWrite, commit, answer]
      expect(order).not.toContain(-1)
      expect(order).toEqual(order.toSorted((a, b) => a - b))
    }
  })

  it('the commit of every other change is flushed before its answer', async () => {
    const stowage = await bench.start({ env: withoutOwnWork })
    const story = newStory('alice')
    await runScenario(stowage, story)
    await bench.kill(stowage)
    const events = bench.recording()

    // Upload sessions may go with the power; what a client was promised may not.
    const durable = story.steps.filter(({ name }) => !/begin|append|cancel|wrong digest/.test(name))
    expect(durable.length).toBeGreaterThan(10)
    for (const { name, requestId } of durable) {
      const answer = events.findIndex((event) => event.operation === 'answer' && event.requestId === requestId)
      const previous = events.findLastIndex((event, at) => at < answer && event.operation === 'answer')
      const between = events.slice(previous + 1, answer).filter(({ path }) => walFile.test(path))
      expect(between.map(({ operation }) => operation), name).toContain('write')
      expect(between.at(-1)?.operation, name).toBe('fsync')
    }
  })
})

interface Call {
  readonly name: string
  readonly text: string
  /** Lines of the trace. */
  readonly begins: number
  readonly ends: number
}

/** Calls of all threads, with where each began and where it had returned. */
function readTrace(trace: string): Call[] {
  const calls: Call[] = []
  const unfinished = new Map<string, { text: string; begins: number }>()
  for (const [line, text] of trace.split('\n').entries()) {
    const [, thread = '', rest = ''] = /^(\d+) +(.*)$/.exec(text) ?? []
    const resumed = /^<\.\.\. \w+ resumed>(.*)$/.exec(rest)
    const earlier = resumed === null ? undefined : unfinished.get(thread)
    if (rest.endsWith('<unfinished ...>')) {
      unfinished.set(thread, { text: rest.slice(0, -'<unfinished ...>'.length), begins: line })
      continue
    }
    const whole = earlier === undefined ? rest : earlier.text + (resumed?.[1] ?? '')
    const name = /^(\w+)\(/.exec(whole)?.[1]
    if (name !== undefined) calls.push({ name, text: whole, begins: earlier?.begins ?? line, ends: line })
  }
  return calls
}

describe('in the calls that reach the kernel', () => {
  let dir: TempDir
  let stowage: Stowage
  beforeEach(async () => {
    dir = createTempDir('order')
    stowage = await startStowage()
  })
  afterEach(async () => {
    await stowage.stop()
    dir.remove()
  })

  it('each step of a push has returned before the next begins', async () => {
    const traceFile = join(dir.path, 'trace')
    const watched = 'trace=fsync,fdatasync,link,linkat,write,writev,pwrite64,pwritev,sendto,sendmsg'
    const strace = spawn(ensureTool('strace'), ['-f', '-yy', '-s', '160', '-p', String(stowage.pid), '-e', watched, '-o', traceFile], {
      stdio: ['ignore', 'ignore', 'pipe'],
    })
    await once(strace.stderr, 'data')
    const story = newStory('alice')
    await runScenario(stowage, story)
    strace.kill('SIGINT')
    await once(strace, 'exit')
    const calls = readTrace(readFileSync(traceFile, 'utf8'))

    const isFlush = ({ name, text }: Call, path: RegExp): boolean => /^f(data)?sync$/.test(name) && path.test(text) && / = 0$/.test(text)
    const isAnswer = ({ name, text }: Call): boolean => /^(write|writev|sendto|sendmsg)$/.test(name) && text.includes('"HTTP/1.1 201')
    const after = (line: number, matches: (call: Call) => boolean): Call | undefined => calls.find((call) => call.begins > line && matches(call))

    const links = calls.filter(({ name, text }) => name.startsWith('link') && /uploads\/.*blobs\/default\/sha256/.test(text))
    expect(links.length).toBeGreaterThanOrEqual(4)
    for (const link of links) {
      const upload = /uploads\/([0-9a-f-]{36})/.exec(link.text)?.[1] ?? '-'
      const bytes = calls.find((call) => isFlush(call, new RegExp(`uploads/${upload}>`)))
      const folder = after(link.ends, (call) => isFlush(call, /blobs\/default\/sha256\/[0-9a-f]{2}>/))
      const commitWrite = after(folder?.ends ?? Infinity, ({ name, text }) => name === 'pwrite64' && /stowage\.db-wal>/.test(text))
      const commit = after(commitWrite?.ends ?? Infinity, (call) => isFlush(call, /stowage\.db-wal>/))
      const answer = after(link.begins, isAnswer)

      const steps = [bytes, link, folder, commitWrite, commit, answer]
      expect(steps).not.toContain(undefined)
      for (const [index, step] of steps.entries()) {
        const next = steps[index + 1]
        if (next !== undefined) expect(step?.ends ?? Infinity, `${step?.text} before ${next.text}`).toBeLessThan(next.begins)
      }
    }

    const manifests = story.steps.filter(({ name }) => name.startsWith('put manifest'))
    for (const { requestId } of manifests) {
      const answer = calls.findIndex((call) => isAnswer(call) && call.text.includes(requestId))
      const commit = calls.slice(0, answer).findLastIndex((call) => isFlush(call, /stowage\.db-wal>/))
      const write = calls.slice(0, answer).findLastIndex(({ name, text }) => name === 'pwrite64' && /stowage\.db-wal>/.test(text))
      expect(answer).toBeGreaterThan(0)
      expect(write).toBeGreaterThan(0)
      expect(calls[write]?.ends).toBeLessThan(calls[commit]?.begins ?? 0)
      expect(calls[commit]?.ends).toBeLessThan(calls[answer]?.begins ?? 0)
    }
  })
})
