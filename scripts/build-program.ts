// The programs of package.json as few files: a start reads a dozen instead of six hundred, in half the time.
//   scripts/with-node.sh node scripts/build-program.ts [folder]      prints the folder
import { createHash } from 'node:crypto'
import { chmodSync, existsSync, globSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, renameSync, rmSync, statSync } from 'node:fs'
import { basename, dirname, join, resolve } from 'node:path'
import { rolldown, type Plugin } from 'rolldown'

const projectDir = resolve(import.meta.dirname, '..')

const builtFolder = join(projectDir, '.cache/program')

/** Modules that are started by their address: threads, and what they load. */
const ownAddress = /new URL\('\.\/([\w/-]+)\.ts', import\.meta\.url\)/gu

/** Packages that look for files of their own, and one that is optional. */
const apart = ['pino', 'thread-stream', 'pg-native']

/**
 * Builds into a folder that is named after the sources, unless it is there, or into one that is not there yet; answers its path. Safe to
 * run from several processes at once. What it loads later (packages that stay apart, package.json) is found in the folders above it, so it has to stay below the project's.
 */
export async function buildProgram(into?: string): Promise<string> {
  const folder = into ?? join(builtFolder, hashOfSources())
  if (existsSync(folder)) {
    // What is in it may be of other sources.
    if (into !== undefined) throw new Error(`${into} is there already: remove it, or name another folder`)
    return folder
  }
  mkdirSync(dirname(folder), { recursive: true })
  removeOldOnes(dirname(folder))
  const draft = mkdtempSync(`${folder}.`)
  try {
    const bundle = await rolldown({ cwd: projectDir, platform: 'node', input: entries(), external: [/^node:/, ...apart], plugins: [addresses] })
    await bundle.write({ dir: draft, format: 'esm', entryFileNames: '[name].js', chunkFileNames: '[name]-[hash].js' })
    await bundle.close()
    for (const program of programs()) chmodSync(join(draft, `${basename(program, '.ts')}.js`), 0o755)
    renameSync(draft, folder)
  } catch (error) {
    rmSync(draft, { recursive: true, force: true })
    // Another process was faster.
    if (!existsSync(folder)) throw error
  }
  return folder
}

/** Of sources that were changed since; a run that began with one does not take a day. */
function removeOldOnes(parent: string): void {
  if (parent !== builtFolder) return
  for (const name of readdirSync(parent)) {
    const path = join(parent, name)
    if (statSync(path).mtimeMs < Date.now() - 24 * 60 * 60 * 1000) rmSync(path, { recursive: true, force: true })
  }
}

function sources(): string[] {
  return globSync('src/**/*.ts', { cwd: projectDir, exclude: ['src/**/*.test.ts', 'src/**/*.test-support.ts'] }).sort()
}

function hashOfSources(): string {
  const hash = createHash('sha256')
  for (const file of [...sources(), 'package.json', 'package-lock.json', 'scripts/build-program.ts']) hash.update(file).update('\0').update(readFileSync(join(projectDir, file))).update('\0')
  return hash.digest('hex').slice(0, 16)
}

function programs(): string[] {
  const { bin } = JSON.parse(readFileSync(join(projectDir, 'package.json'), 'utf8')) as { bin: Record<string, string> }
  return Object.values(bin)
}

/** The programs of the package, and the modules that are started by their address; all in one folder, so their names have to differ. */
function entries(): Record<string, string> {
  const files = new Map(programs().map((file) => [basename(file, '.ts'), file]))
  for (const file of sources()) {
    for (const [, address] of readFileSync(join(projectDir, file), 'utf8').matchAll(ownAddress)) {
      const [name, source] = [builtName(address!), `${join(dirname(file), address!)}.ts`]
      if ((files.get(name) ?? source) !== source) throw new Error(`two programs or threads have one name: ${source}, ${files.get(name)}`)
      files.set(name, source)
    }
  }
  return Object.fromEntries(files)
}

function builtName(address: string): string {
  return address.replaceAll('/', '-')
}

const addresses: Plugin = {
  name: 'addresses',
  transform: (code) => (code.includes('import.meta.url') ? code.replaceAll(ownAddress, (_, address: string) => `new URL('./${builtName(address)}.js', import.meta.url)`) : null),
}

if (import.meta.main) console.log(await buildProgram(process.argv[2] === undefined ? undefined : resolve(process.argv[2])))
