import { createServer } from 'node:net'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { baseEnv, run } from '../../test/support/run.ts'
import { freePort, startServerProcess, type ServerProcess } from '../../test/support/server-process.ts'

const script = join(import.meta.dirname, 'serve.test-support.ts')

async function start(port: number, env: Readonly<Record<string, string>> = {}): Promise<ServerProcess> {
  return startServerProcess({
    name: 'server',
    command: process.execPath,
    args: [script],
    env: { ...baseEnv(), STOWAGE_LISTEN: `127.0.0.1:${port}`, ...env },
    ready: async () => (await fetch(`http://127.0.0.1:${port}/readyz`)).ok,
  })
}

it('drains on a signal: what is in flight ends, and the process exits with 0', async () => {
  const port = await freePort()
  const server = await start(port)
  const answer = await fetch(`http://127.0.0.1:${port}/`)

  server.kill('SIGTERM')

  expect(await answer.text()).toBe('begun finished')
  expect(await server.exited).toEqual({ exitCode: 0, signal: null })
  expect(server.logs()).toContain('"msg":"stopped"')
})

it('cuts off what outlasts the drain time-out', async () => {
  const port = await freePort()
  const server = await start(port, { STOWAGE_DRAIN_TIMEOUT_MS: '50' })
  const answer = await fetch(`http://127.0.0.1:${port}/`)

  server.kill('SIGINT')

  await expect(answer.text()).rejects.toThrow()
  expect(await server.exited).toEqual({ exitCode: 0, signal: null })
  expect(server.logs()).toContain('"cutOff":1')
})

it('exits at once on the second signal', async () => {
  const port = await freePort()
  const server = await start(port)
  const answer = await fetch(`http://127.0.0.1:${port}/`)
  const text = answer.text().catch(() => 'cut')

  server.kill('SIGINT')
  await expect.poll(() => server.logs()).toContain('stopping')
  server.kill('SIGTERM')

  expect(await server.exited).toEqual({ exitCode: 143, signal: null })
  expect(await text).toBe('cut')
})

it('ends with exit code 1 when nothing can be written any more, without waiting', async () => {
  const port = await freePort()
  const server = await start(port)
  const answer = await fetch(`http://127.0.0.1:${port}/`)

  server.kill('SIGUSR2')

  await expect(answer.text()).rejects.toThrow()
  expect(await server.exited).toEqual({ exitCode: 1, signal: null })
  expect(server.logs()).toContain('the disk is gone')
})

it('says which port is in use and how to choose another', async () => {
  const holder = createServer()
  const port = await new Promise<number>((resolve) => holder.listen(0, '127.0.0.1', () => resolve((holder.address() as { port: number }).port)))

  const { exitCode, stderr } = await run(process.execPath, [script], {
    env: { STOWAGE_LISTEN: `127.0.0.1:${port}` },
    mayFail: true,
  })
  holder.close()

  expect(exitCode).toBe(3)
  expect(stderr).toContain(`port ${port} is in use`)
  expect(stderr).toContain(`STOWAGE_LISTEN=127.0.0.1:${port + 1}`)
  expect(stderr).not.toContain('    at ')
})

it('refuses a wrong setting with exit code 2 and the three ways out', async () => {
  const { exitCode, stderr } = await run(process.execPath, [script], { env: { STOWAGE_LISTEN: '0.0.0.0:5050' }, mayFail: true })

  expect(exitCode).toBe(2)
  expect(stderr).toContain('STOWAGE_TLS_SELF_SIGNED=true')
})
