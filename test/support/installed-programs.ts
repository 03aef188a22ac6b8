import { readFileSync, symlinkSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { projectDir } from './tools.ts'

/**
 * Puts the package's programs into a folder under their names, as `npm install --global .` does from a checkout, and answers
 * a PATH that has them, the Node that runs this test and the system's programs.
 */
export function installPrograms(folder: string): string {
  const { bin } = JSON.parse(readFileSync(join(projectDir, 'package.json'), 'utf8')) as { bin: Readonly<Record<string, string>> }
  for (const [name, script] of Object.entries(bin)) symlinkSync(join(projectDir, script), join(folder, name))
  return [folder, dirname(process.execPath), '/usr/sbin:/usr/bin:/sbin:/bin'].join(':')
}
