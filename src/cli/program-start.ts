import { homedir } from 'node:os'
import { join } from 'node:path'
import * as nodeModule from 'node:module'
import { unsupportedNodeText } from './supported-node.ts'

// Nothing here may need a new Node: an old one has to get as far as the text that says so.

/** What `exitCodes` says of it; read from nowhere, since an old Node would have to load that first. */
const nodeVersionExitCode = 7
const lingerMs = 2_000

/**
 * Runs a program of this package: its code is loaded by `run`, with the compile cache on, and its exit code becomes the
 * process's. A Node that is too old is told what it needs.
 */
export async function startProgram(run: () => Promise<number>): Promise<void> {
  const tooOld = unsupportedNodeText(process.versions.node)
  if (tooOld !== undefined) {
    process.stderr.write(`${tooOld}\n`)
    process.exitCode = nodeVersionExitCode
    return
  }
  // Before the program's own code is loaded. NODE_COMPILE_CACHE wins; a folder that cannot be written is done without.
  nodeModule.enableCompileCache(compileCacheFolder())
  process.exitCode = await run()
  // Nothing should be left to do; should something hold the process all the same, it ends now.
  setTimeout(() => process.exit(), lingerMs).unref()
}

/** The user's own cache: compiled code in a folder that others may write, such as /tmp, would be theirs to change. */
function compileCacheFolder(): string | undefined {
  try {
    return join(homedir(), '.cache', 'stowage', 'compiled')
  } catch {
    return undefined
  }
}
