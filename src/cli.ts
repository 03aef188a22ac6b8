#!/usr/bin/env node
import { homedir } from 'node:os'
import { join } from 'node:path'
import * as nodeModule from 'node:module'
import { unsupportedNodeText } from './cli/supported-node.ts'

// Nothing here may need a new Node: an old one has to get as far as the text that says so.
const lingerMs = 2_000
const tooOld = unsupportedNodeText(process.versions.node)
if (tooOld === undefined) {
  // Before the program's own code is loaded. NODE_COMPILE_CACHE wins; a folder that cannot be written is done without.
  nodeModule.enableCompileCache(compileCacheFolder())
  const { runCommand } = await import('./cli/program.ts')
  process.exitCode = await runCommand(process.argv.slice(2), {
    stdout: process.stdout,
    stderr: process.stderr,
    invocation: { execPath: process.execPath, script: process.argv[1] ?? 'stowage' },
  })
  // Nothing should be left to do; should something hold the process all the same, it ends now.
  setTimeout(() => process.exit(), lingerMs).unref()
} else {
  process.stderr.write(`${tooOld}\n`)
  process.exitCode = 7
}

/** The user's own cache: compiled code in a folder that others may write, such as /tmp, would be theirs to change. */
function compileCacheFolder(): string | undefined {
  try {
    return join(homedir(), '.cache', 'stowage', 'compiled')
  } catch {
    return undefined
  }
}
