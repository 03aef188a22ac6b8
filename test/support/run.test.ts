import { expect, test } from 'vitest'
import { CommandError, run } from './run.ts'

test('a command sees only the environment it is given', async () => {
  process.env['AWS_PROFILE'] = 'of-the-developer'

  const result = await run('env', [], { env: { STOWAGE_TEST: 'given' } })

  delete process.env['AWS_PROFILE']
  expect(result.stdout).toContain('STOWAGE_TEST=given')
  expect(result.stdout).not.toContain('AWS_PROFILE')
})

test('a failure carries the output', async () => {
  const failure = await run('sh', ['-c', 'echo out; echo err >&2; exit 3']).catch((error: unknown) => error)

  expect(failure).toBeInstanceOf(CommandError)
  expect(failure).toMatchObject({ result: { exitCode: 3, stdout: 'out\n', stderr: 'err\n' } })
  expect(String(failure)).toMatch(/exited with 3\n(out\nerr|err\nout)\n/)
})

test('a command that takes too long is ended together with what it started', async () => {
  const started = performance.now()

  await expect(run('sh', ['-c', 'sleep 60 & wait'], { timeoutMs: 200 })).rejects.toThrow('took longer than 200 ms')

  expect(performance.now() - started).toBeLessThan(10_000)
})

test('input reaches the command, and a command that ignores it is no error', async () => {
  expect((await run('cat', [], { input: 'text' })).stdout).toBe('text')
  await run('true', [], { input: 'x'.repeat(1_000_000) })
})
