import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { isAlive } from './run-dir.ts'
import { baseEnv } from './run.ts'
import { startServerProcess } from './server-process.ts'

const readyAtOnce = { env: baseEnv(), ready: async () => true }

test('a server that ends before it is ready shows what it wrote', async () => {
  const started = startServerProcess({
    ...readyAtOnce,
    name: 'a failing server',
    command: 'sh',
    args: ['-c', 'echo no luck >&2; exit 4'],
    ready: async () => false,
  })

  await expect(started).rejects.toThrow(/a failing server ended before it was ready \(exit code 4\)\nno luck/)
})

test('a command that does not exist is an error, not a wait', async () => {
  const started = startServerProcess({ ...readyAtOnce, name: 'nothing', command: '/no/such/program', args: [], ready: async () => false })

  await expect(started).rejects.toThrow()
})

test('stop sends the signal asked for, and can be repeated', async () => {
  const args = ['-c', 'trap "echo stopping; exit 7" INT; echo up; while :; do sleep 0.05; done']
  const server = await startServerProcess({ ...readyAtOnce, name: 'sh', command: 'sh', args, stopSignal: 'SIGINT' })
  while (!server.logs().includes('up')) await sleep(10)

  expect(await server.stop()).toEqual({ exitCode: 7, signal: null })
  expect(await server.stop()).toEqual({ exitCode: 7, signal: null })
  expect(server.logs()).toBe('up\nstopping\n')
})

test('a server that does not stop is killed, and that is an error', async () => {
  const args = ['-c', 'trap "" TERM; echo up; while :; do sleep 0.05; done']
  const server = await startServerProcess({ ...readyAtOnce, name: 'sh', command: 'sh', args, stopTimeoutMs: 200 })
  while (!server.logs().includes('up')) await sleep(10)

  await expect(server.stop()).rejects.toThrow('sh did not stop within 200 ms')
  expect(isAlive(server.pid)).toBe(false)
})

test('a server ends when the process that started it is killed', async () => {
  const script = `
    import { startServerProcess } from '${join(import.meta.dirname, 'server-process.ts')}'
    const server = await startServerProcess({ name: 'sleep', command: 'sleep', args: ['600'], env: {}, ready: async () => true })
    console.log(server.pid)`
  const parent = spawn(process.execPath, ['--input-type=module', '--eval', script], { stdio: ['ignore', 'pipe', 'inherit'] })
  const [printed] = (await once(parent.stdout, 'data')) as [Buffer]
  const pid = Number(printed.toString())
  expect(isAlive(pid)).toBe(true)

  parent.kill('SIGKILL')

  while (isAlive(pid)) await sleep(20)
})
