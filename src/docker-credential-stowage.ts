#!/usr/bin/env node
import { startProgram } from './cli/program-start.ts'

await startProgram(async () => {
  const { dockerCredential } = await import('./cli/docker-credential.ts')
  return dockerCredential(process.argv.slice(2), process)
})
