import { mkdirSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { filesUnder, readProjectFile } from '../repo/tree.ts'
import { installPrograms } from '../support/installed-programs.ts'
import { run } from '../support/run.ts'
import { startStowage } from '../support/start-stowage.ts'
import { createTempDir, type TempDir } from '../support/temp-dir.ts'
import { ensureTool } from '../support/tools.ts'

/*
 * Blocks of the guides that are marked as ```sh run are run as a reader pastes them: in order, in one shell, against a server
 * that was just started, with its address and the root's key in the environment.
 */

interface Guide {
  readonly path: string
  readonly blocks: readonly string[]
}

const guides: readonly Guide[] = filesUnder('docs/', '.md').flatMap((path) => {
  const blocks = [...readProjectFile(path).matchAll(/^```sh run\n(.*?)^```$/gmsu)].map((match) => match[1] ?? '')
  return blocks.length === 0 ? [] : [{ path, blocks }]
})

let dir: TempDir
let path: string

beforeAll(() => {
  dir = createTempDir('docs-commands')
  mkdirSync(join(dir.path, 'bin'))
  path = installPrograms(join(dir.path, 'bin'), dirname(ensureTool('aws')))
})

afterAll(() => {
  dir?.remove()
})

describe('the commands in the guides', () => {
  it('are there to be run', () => {
    expect(guides.map((guide) => guide.path)).toContain('docs/operations/who-may-do-what.md')
  })

  it.each(guides)('of $path work as they are written', async ({ blocks }) => {
    const stowage = await startStowage()
    try {
      const script = blocks.map((block, index) => `echo "--- block ${index + 1}"\n${block}`).join('\n')
      const result = await run('bash', ['-euo', 'pipefail', '-c', script], { env: { ...stowage.awsEnv, PATH: path, HOME: dir.path }, cwd: dir.path, mayFail: true })
      expect(result.exitCode, result.output).toBe(0)
    } finally {
      await stowage.stop()
    }
  })
})
