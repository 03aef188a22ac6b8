#!/usr/bin/env node
import { startProgram } from './cli/program-start.ts'

await startProgram(async () => {
  const { kubeletCredential } = await import('./cli/kubelet-credential.ts')
  return kubeletCredential(process.argv.slice(2), process)
})
