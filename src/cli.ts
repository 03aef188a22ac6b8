#!/usr/bin/env node
import { startProgram } from './cli/program-start.ts'

await startProgram(async () => {
  const { runCommand } = await import('./cli/program.ts')
  return runCommand(process.argv.slice(2), {
    stdout: process.stdout,
    stderr: process.stderr,
    invocation: { execPath: process.execPath, script: process.argv[1] ?? 'stowage' },
  })
})
