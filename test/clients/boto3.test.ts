import { join } from 'node:path'
import { expect, test } from 'vitest'
import { run } from '../support/run.ts'
import { startStowage } from '../support/start-stowage.ts'
import { ensureTool } from '../support/tools.ts'

test('a release script written with boto3 does all its work', async () => {
  const stowage = await startStowage()
  try {
    const result = await run(ensureTool('python'), [join(import.meta.dirname, 'boto3_ecr.py')], { env: stowage.awsEnv })

    expect(result.stdout).toBe('ok\n')
  } finally {
    await stowage.stop()
  }
})
