import { join } from 'node:path'
import { expect, test } from 'vitest'
import { run } from '../support/run.ts'
import { startStowage } from '../support/start-stowage.ts'
import { ensureTool } from '../support/tools.ts'

test.each([
  ['a release script', 'boto3_ecr.py'],
  ['an administrator’s script', 'boto3_ecr_settings.py'],
])('%s written with boto3 does all its work', async (_, script) => {
  const stowage = await startStowage()
  try {
    const result = await run(ensureTool('python'), [join(import.meta.dirname, script)], { env: stowage.awsEnv })

    expect(result.stdout).toBe('ok\n')
  } finally {
    await stowage.stop()
  }
})
