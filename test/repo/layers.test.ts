import { builtinModules } from 'node:module'
import { posix } from 'node:path'
import { describe, expect, it } from 'vitest'
import { importViolation, isTestCode, packageViolation, units } from '../../scripts/lint/layer-table.ts'
import { importsOf, type Import } from './imports.ts'
import { filesUnder, readProjectFile } from './tree.ts'

interface Edge extends Import {
  readonly from: string
  /** Relative to the root, or undefined for a package or built-in module. */
  readonly to: string | undefined
}

interface Manifest {
  readonly dependencies: Readonly<Record<string, string>>
  readonly devDependencies: Readonly<Record<string, string>>
}

const manifest = JSON.parse(readProjectFile('package.json')) as Manifest

const sources = filesUnder('src/', '.ts')
const everything = [...sources, ...['test/', 'bench/', 'scripts/'].flatMap((folder) => filesUnder(folder, '.ts'))]

function edgesOf(files: readonly string[]): Edge[] {
  return files.flatMap((from) =>
    importsOf(from, readProjectFile(from)).map((found) => ({
      ...found,
      from,
      to: found.specifier.startsWith('.') ? posix.join(posix.dirname(from), found.specifier) : undefined,
    })),
  )
}

const edges = edgesOf(everything)
const productEdges = edges.filter(({ from }) => from.startsWith('src/') && !isTestCode(from))

function at(edge: Edge): string {
  return `${edge.from}:${edge.line}`
}

function packageName(specifier: string): string {
  const parts = specifier.split('/')
  return parts.slice(0, specifier.startsWith('@') ? 2 : 1).join('/')
}

/** The first cycle found among `edges` as a list of files, or undefined. */
function findCycle(graph: ReadonlyMap<string, readonly string[]>): string[] | undefined {
  const done = new Set<string>()
  const trail: string[] = []
  const visit = (file: string): string[] | undefined => {
    const start = trail.indexOf(file)
    if (start >= 0) return [...trail.slice(start), file]
    if (done.has(file)) return undefined
    trail.push(file)
    for (const next of graph.get(file) ?? []) {
      const cycle = visit(next)
      if (cycle !== undefined) return cycle
    }
    trail.pop()
    done.add(file)
    return undefined
  }
  for (const file of graph.keys()) {
    const cycle = visit(file)
    if (cycle !== undefined) return cycle
  }
  return undefined
}

describe('the layers of src/', () => {
  it('are kept by every import', () => {
    const broken = productEdges.flatMap((edge) => {
      if (edge.to === undefined) return []
      const message = edge.to.startsWith('src/')
        ? importViolation(edge.from.slice('src/'.length), edge.to.slice('src/'.length))
        : 'src/ imports nothing outside src/'
      return message === undefined ? [] : [`${at(edge)}: ${message}`]
    })
    expect(broken).toEqual([])
  })

  it('keep databases and the command line to the folders made for them', () => {
    const broken = productEdges.flatMap((edge) => {
      const name = edge.specifier.startsWith('node:') ? edge.specifier : packageName(edge.specifier)
      const message = edge.to === undefined ? packageViolation(edge.from.slice('src/'.length), name) : undefined
      return message === undefined ? [] : [`${at(edge)}: ${message}`]
    })
    expect(broken).toEqual([])
  })

  it('have no import cycle, types included', () => {
    const graph = new Map<string, string[]>()
    for (const { from, to } of productEdges) {
      if (to !== undefined) graph.set(from, [...(graph.get(from) ?? []), to])
    }
    expect(findCycle(graph)?.join(' → ')).toBeUndefined()
  })

  it('leave only error codes in the root of storage/, which the edges may read', () => {
    const rootFiles = sources.filter((path) => /^src\/storage\/[^/]+$/u.test(path) && !isTestCode(path))
    expect(rootFiles).toEqual(['src/storage/errors.ts'])
  })
})

describe('write commands', () => {
  /** Those of logs are for a store, and so for a writer, of their own. */
  const ofLogs = 'src/logs/commands/'

  it.each([
    ['the metadata', 'src/commands.ts', (path: string) => !path.startsWith(ofLogs)],
    ['logs', `${ofLogs}index.ts`, (path: string) => path.startsWith(ofLogs)],
  ] as const)('of %s are all in the catalogue that the writer reads', (_, file, isOfIt) => {
    const defined = sources
      .filter((path) => isOfIt(path) && !isTestCode(path.slice('src/'.length)))
      .flatMap((path) => [...readProjectFile(path).matchAll(/^export const (\w+)[^=\n]*= defineCommand\b/gmu)].map((match) => match[1]))
    const catalogue = /export const commands[^=]*= \[([^\]]*)\]/u.exec(readProjectFile(file))?.[1] ?? ''
    const listed = catalogue.split(',').map((name) => name.trim())

    expect(defined.length).toBeGreaterThan(0)
    expect(defined.filter((name) => name !== undefined && !listed.includes(name))).toEqual([])
  })
})

describe('the layer table', () => {
  it('lets nothing import a higher layer', () => {
    const upward = Object.entries(units).flatMap(([name, unit]) =>
      unit.mayImport
        .filter((other) => (units[other]?.layer ?? Number.POSITIVE_INFINITY) > unit.layer)
        .map((other) => `${name} → ${other}`),
    )
    // The command starts the server, which is put together above every layer.
    expect(upward).toEqual(['cli → platform.ts', 'cli → platform-verify.ts', 'cli → platform-backup.ts', 'cli → main.ts'])
  })

  it.each([
    ['values/digest.ts', 'registry/types.ts'],
    ['internal/clock.ts', 'config/schema.ts'],
    ['storage/blobs/blob-store.ts', 'registry/types.ts'],
    ['storage/blobs/blob-store.ts', 'storage/metadata/schema.ts'],
    ['storage/metadata/schema.ts', 'http/server.ts'],
    ['iam/authorizer.ts', 'registry/registry.ts'],
    ['registry/registry.ts', 'http/server.ts'],
    ['http/distribution/handlers.ts', 'storage/metadata/schema.ts'],
    ['http/distribution/handlers.ts', 'http/aws/dispatch.ts'],
    ['cli/serve.ts', 'storage/blobs/blob-store.ts'],
    ['registry/registry.ts', 'platform.ts'],
    ['helpers/anything.ts', 'values/digest.ts'],
  ])('refuses %s → %s', (from, to) => {
    expect(importViolation(from, to)).toBeDefined()
  })

  it.each([
    ['values/digest.ts', 'internal/platform-error.ts'],
    ['registry/registry.ts', 'iam/principal.ts'],
    ['registry/registry.ts', 'storage/metadata/command.ts'],
    ['http/distribution/errors.ts', 'storage/errors.ts'],
    ['http/server.ts', 'http/distribution/handlers.ts'],
    ['platform.ts', 'storage/metadata/database.ts'],
    ['main.ts', 'platform.ts'],
  ])('allows %s → %s', (from, to) => {
    expect(importViolation(from, to)).toBeUndefined()
  })

  it('keeps SQL drivers in storage/metadata', () => {
    expect(packageViolation('registry/registry.ts', 'kysely')).toBeDefined()
    expect(packageViolation('storage/metadata/database.ts', 'kysely')).toBeUndefined()
  })
})

describe('imports', () => {
  it('name an existing file with its ending', () => {
    const known = new Set([...everything, 'eslint.config.js', 'vitest.config.ts'])
    const broken = edges.filter(({ to }) => to !== undefined && !known.has(to)).map((edge) => `${at(edge)}: ${edge.specifier}`)
    expect(broken).toEqual([])
  })

  it('name only declared packages, and in src/ none that only development installs', () => {
    const broken = edges.flatMap((edge) => {
      if (edge.to !== undefined || edge.specifier.startsWith('node:')) return []
      const name = packageName(edge.specifier)
      const mayUseDevelopment = !edge.from.startsWith('src/') || isTestCode(edge.from)
      const isDeclared = name in manifest.dependencies || (mayUseDevelopment && name in manifest.devDependencies)
      return isDeclared ? [] : [`${at(edge)}: ${name}`]
    })
    expect(broken).toEqual([])
  })

  it('say node: for built-in modules', () => {
    const bare = edges.filter(({ specifier }) => builtinModules.includes(specifier) && !specifier.startsWith('node:'))
    expect(bare.map((edge) => `${at(edge)}: ${edge.specifier}`)).toEqual([])
  })
})

describe('importsOf', () => {
  it('finds every way to name another module', () => {
    const text = [
      "import { a } from './a.ts'",
      "import type { B } from './b.ts'",
      "import { type C } from './c.ts'",
      "export * from './d.ts'",
      "const e = await import('./e.ts')",
      "type F = import('./f.ts').F",
      "import './g.ts'",
    ].join('\n')

    const found = importsOf('x.ts', text).map(({ specifier, typeOnly }) => `${specifier}${typeOnly ? ' (type)' : ''}`)

    expect(found).toEqual(['./a.ts', './b.ts (type)', './c.ts (type)', './d.ts', './e.ts', './f.ts (type)', './g.ts'])
  })
})

describe('findCycle', () => {
  it('finds a cycle and names its files', () => {
    expect(findCycle(new Map([['a', ['b']], ['b', ['c']], ['c', ['b']]]))).toEqual(['b', 'c', 'b'])
  })

  it('finds none where two paths meet', () => {
    expect(findCycle(new Map([['a', ['b', 'c']], ['b', ['d']], ['c', ['d']]]))).toBeUndefined()
  })
})
