import { readFileSync, symlinkSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { programScript, projectDir } from './tools.ts'

/**
 * Puts the package's programs into a folder under their names, as `npm install --global .` does from a checkout, and answers
 * a PATH that has them, those of `others` (folders, before the system's), the Node that runs this test and the system's programs.
 */
export function installPrograms(folder: string, ...others: readonly string[]): string {
  const { bin } = JSON.parse(readFileSync(join(projectDir, 'package.json'), 'utf8')) as { bin: Readonly<Record<string, string>> }
  const script = programScript()
  for (const [name, source] of Object.entries(bin)) {
    symlinkSync(script.endsWith('.ts') ? join(projectDir, source) : join(dirname(script), `${basename(source, '.ts')}.js`), join(folder, name))
  }
  return [folder, ...others, dirname(process.execPath), '/usr/sbin:/usr/bin:/sbin:/bin'].join(':')
}
