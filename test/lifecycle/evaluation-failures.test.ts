import { join } from 'node:path'
import { afterEach, beforeEach, expect, it, vi } from 'vitest'
import { EvaluationJobs } from '../../src/lifecycle/evaluation-jobs.ts'
import type { Job, JobAnswer } from '../../src/lifecycle/evaluation-messages.ts'
import { LargeEvaluations } from '../../src/lifecycle/large-evaluations.ts'
import { migrateMetadata } from '../../src/storage/metadata/migrate.ts'
import { createTempDir, type TempDir } from '../support/temp-dir.ts'

/* What a machine may refuse: a file, a process. The next evaluation is none the worse for it. */

let dir: TempDir
let answers: JobAnswer[]

beforeEach(() => {
  dir = createTempDir('evaluation')
  answers = []
})
afterEach(() => {
  vi.restoreAllMocks()
  dir.remove()
})

const jobOf = (id: number): Job => ({ kind: 'evaluate', id, request: { repositoryId: 1, account: '000000000000', policies: [], nowMs: 1 } })

it('reads a database that could not be opened before', async () => {
  const target = { file: join(dir.path, 'stowage.db') }
  const answer = (said: JobAnswer): Promise<void> => {
    answers.push(said)
    return Promise.resolve()
  }
  const jobs = new EvaluationJobs({ target, answer })
  jobs.take(jobOf(1))
  await expect.poll(() => answers).toMatchObject([{ kind: 'failed', id: 1 }])

  await migrateMetadata(target, { check: false })
  jobs.take(jobOf(2))
  await expect.poll(() => answers.slice(1)).toMatchObject([{ kind: 'evaluated', id: 2 }])
  await jobs.close()
})

it('fails where no process can be started, and still ends', async () => {
  const large = new LargeEvaluations({ file: join(dir.path, 'stowage.db') }, (said) => answers.push(said))
  const execPath = vi.spyOn(process, 'execPath', 'get').mockReturnValue(join(dir.path, 'no-such-program'))
  large.give(jobOf(1))
  expect(large.has(1)).toBe(true)
  await expect.poll(() => answers).toMatchObject([{ kind: 'failed', id: 1, failure: { message: expect.stringContaining('ENOENT') as string } }])
  expect(large.has(1)).toBe(false)
  await large.close()

  execPath.mockRestore()
  await migrateMetadata({ file: join(dir.path, 'stowage.db') }, { check: false })
  large.give(jobOf(2))
  await expect.poll(() => answers.slice(1), { timeout: 30_000 }).toMatchObject([{ kind: 'evaluated', id: 2 }])
  await large.close()
})

it('ends its process at once, whatever that has to do', async () => {
  await migrateMetadata({ file: join(dir.path, 'stowage.db') }, { check: false })
  const large = new LargeEvaluations({ file: join(dir.path, 'stowage.db') }, (said) => answers.push(said))
  large.give(jobOf(1))
  await large.close()
  expect(answers).toEqual([])
})
