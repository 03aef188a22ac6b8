import { basename } from 'node:path'
import { describe, expect, it } from 'vitest'
import { isTestCode } from '../../scripts/lint/layer-table.ts'
import { filesUnder, projectFiles, readProjectFile } from './tree.ts'

const files = projectFiles()

/** Text written by people; lock files, licences and binary data are not. */
const texts = files.filter((path) => /(\.(ts|js|sh|md|ya?ml|json)|Makefile|Dockerfile|\.ci\/run)$/u.test(path) && path !== 'package-lock.json')

function linesMatching(paths: readonly string[], pattern: RegExp): string[] {
  return paths.flatMap((path) =>
    readProjectFile(path)
      .split('\n')
      .flatMap((line, index) => (pattern.test(line) ? [`${path}:${index + 1}: ${line.trim()}`] : [])),
  )
}

describe('file names', () => {
  it('are kebab-case', () => {
    const sources = ['src/', 'test/', 'bench/', 'scripts/'].flatMap((folder) => filesUnder(folder, '.ts', '.sh'))
    const broken = sources.filter((path) => !/^([a-z0-9]+(-[a-z0-9]+)*\/)*[a-z0-9]+(-[a-z0-9]+)*(\.[a-z-]+)*\.(ts|sh)$/u.test(path))
    expect(broken).toEqual([])
  })

  it('say what is inside', () => {
    const vague = files.filter((path) => /\b(utils?|helpers?|managers?|common|misc)\b/u.test(path.replaceAll('-', ' ').replaceAll('/', ' ')))
    expect(vague).toEqual([])
  })
})

describe('exported names', () => {
  it('say what the thing does', () => {
    const sources = filesUnder('src/', '.ts')
    expect(linesMatching(sources, /export .*\b(class|function|const|interface|type) \w*(Utils?|Helpers?|Manager)\b/u)).toEqual([])
  })
})

describe('the text of the project', () => {
  it('leaves no work for later', () => {
    const marker = new RegExp(`\\b(${['TO' + 'DO', 'FIX' + 'ME', 'XX' + 'X', 'HA' + 'CK'].join('|')})\\b`, 'u')
    expect(linesMatching(texts, marker)).toEqual([])
  })

  it('names no path of somebody’s machine', () => {
    const machinePath = new RegExp(['(^|[\\s"\'`(=])/(', ['ho' + 'me', 'Us' + 'ers', 'ro' + 'ot', 'wo' + 'rk'].join('|'), ')/[\\w.]'].join(''), 'u')
    expect(linesMatching(texts, machinePath)).toEqual([])
  })

  it('names no package registry in the lock file or its settings', () => {
    expect(linesMatching(['package-lock.json', '.npmrc'], /"resolved"|registry *=/u)).toEqual([])
  })

  it('ends every file with exactly one newline', () => {
    const broken = texts.filter((path) => !/[^\n]\n$/u.test(readProjectFile(path)))
    expect(broken).toEqual([])
  })
})

describe('source files', () => {
  /** A longer file usually holds two subjects; where it does not, split it along its reader's questions. */
  const maxLines = 600

  it(`have at most ${maxLines} lines`, () => {
    const long = filesUnder('src/', '.ts')
      .filter((path) => !isTestCode(path))
      .map((path) => ({ path, lines: readProjectFile(path).split('\n').length - 1 }))
      .filter(({ lines }) => lines > maxLines)
    expect(long).toEqual([])
  })

  it('have no test that is switched off or alone', () => {
    const tests = files.filter((path) => path.endsWith('.test.ts'))
    expect(linesMatching(tests, /\b(it|test|describe)\.(only|todo|skip)\(/u)).toEqual([])
  })
})

describe('test files', () => {
  it('all belong to a project of vitest.config.ts', () => {
    const patterns = [...readProjectFile('vitest.config.ts').matchAll(/'([a-z/]+)\/\*\*\/\*\.test\.ts'/gu)].map((match) => `${match[1] ?? ''}/`)
    const tests = files.filter((path) => path.endsWith('.test.ts'))
    expect(tests.filter((path) => !patterns.some((folder) => path.startsWith(folder)))).toEqual([])
  })
})

describe('scripts', () => {
  it('stop at the first error', () => {
    const broken = [...filesUnder('scripts/', '.sh'), '.ci/run'].filter((path) => !/^set -eu/mu.test(readProjectFile(path)))
    expect(broken.map((path) => basename(path))).toEqual([])
  })
})
