import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { run } from '../../../test/support/run.ts'
import { createTempDir, type TempDir } from '../../../test/support/temp-dir.ts'

const cli = join(import.meta.dirname, '../../cli.ts')
let dir: TempDir

beforeEach(() => {
  dir = createTempDir('lint')
})

afterEach(() => {
  dir.remove()
})

function lint(document: unknown, ...words: readonly string[]) {
  const file = join(dir.path, 'policy.json')
  writeFileSync(file, typeof document === 'string' ? document : `${JSON.stringify(document)}\n`)
  return run(process.execPath, [cli, 'lifecycle', 'lint', file, ...words], { mayFail: true })
}

const copied = {
  rules: [{ rulePriority: 1, description: 'Expire untagged images older than 30 days', action: { type: 'expire' }, filter: { tagStatus: 'UNTAGGED', lastModified: { days: 30 } } }],
}

describe('stowage lifecycle lint', () => {
  test('says what rules do, warns, and ends well', async () => {
    const { exitCode, stdout } = await lint({ rules: [{ name: 'old-builds', action: 'delete', tags: ['pr-*'], olderThan: '30d' }] })
    expect(stdout).toContain('old-builds: deletes images tagged pr-* pushed more than 30 days ago.')
    expect(stdout).toContain('warning: old-builds: Where nothing new comes for 30 days')
    expect(exitCode).toBe(0)
  })

  test('ends with 1 where the policy is refused', async () => {
    const { exitCode, stdout } = await lint(copied, '--strict')
    expect(stdout).toMatch(/^error: Invalid parameter at 'LifecyclePolicyText' .*\(Hint: .*\) \[refused\]$/mu)
    expect(exitCode).toBe(1)
  })

  test('is there for programs', async () => {
    const { exitCode, stdout } = await lint(copied, '--json')
    expect(JSON.parse(stdout)).toEqual({
      grammar: 'ecr',
      rules: [{ name: 'rule 1', text: 'deletes untagged images pushed more than 30 days ago.' }],
      findings: [{ severity: 'warning', code: 'rewritten', text: expect.stringContaining('"filter"') }],
    })
    expect(exitCode).toBe(0)
  })

  test.each([
    ['behind a byte order mark', `\uFEFF${JSON.stringify(copied)}`, 'begins with a byte order mark'],
    ['with spaces that ECR counts', `{"rules":[]}${' '.repeat(100)}`, 'array is too short'],
    ['without them', '{"rules":[]}', 'length greater than or equal to 100'],
  ])('judges a file as it would be put: %s', async (_name, text, says) => {
    const { exitCode, stdout } = await lint(text)
    expect(stdout).toContain(says)
    expect(exitCode).toBe(1)
    const piped = await run('sh', ['-c', `"${process.execPath}" "${cli}" lifecycle lint - < "${join(dir.path, 'policy.json')}"`], { mayFail: true })
    expect(piped.stdout).toBe(stdout)
  })

  test('reads standard input, and says what it cannot read', async () => {
    const piped = await run('sh', ['-c', `echo x | "${process.execPath}" "${cli}" lifecycle lint --grammar retention -`], { mayFail: true })
    expect(piped.stdout).toContain('The policy is not JSON')
    expect(piped.exitCode).toBe(1)
    const absent = await run(process.execPath, [cli, 'lifecycle', 'lint', join(dir.path, 'absent')], { mayFail: true })
    expect(absent.exitCode).toBe(2)
    expect(absent.stderr).toBe(`stowage: ${join(dir.path, 'absent')} cannot be read: there is no such file\n`)
  })
})
