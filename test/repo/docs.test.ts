import { existsSync } from 'node:fs'
import { join, posix } from 'node:path'
import { describe, expect, it } from 'vitest'
import { filesUnder, projectFiles, readProjectFile, root } from './tree.ts'

const documents = projectFiles().filter((path) => path.endsWith('.md'))

/** GitHub's anchor of a heading. */
function anchorOf(heading: string): string {
  return heading
    .replaceAll(/[`*]|\[([^\]]*)\]\([^)]*\)/gu, '$1')
    .trim()
    .toLowerCase()
    .replaceAll(/[^\p{L}\p{N}\s_-]/gu, '')
    .replaceAll(/\s/gu, '-')
}

function anchorsOf(document: string): Set<string> {
  return new Set(withoutCode(readProjectFile(document)).flatMap((line) => {
    const heading = /^#{1,6}\s+(.*)$/u.exec(line)?.[1]
    return heading === undefined ? [] : [anchorOf(heading)]
  }))
}

/** Lines outside fenced code. */
function withoutCode(text: string): string[] {
  let isCode = false
  return text.split('\n').filter((line) => {
    if (/^\s*(```|~~~)/u.test(line)) {
      isCode = !isCode
      return false
    }
    return !isCode
  })
}

function linksOf(document: string): string[] {
  const text = withoutCode(readProjectFile(document)).join('\n').replaceAll(/`[^`\n]*`/gu, '')
  return [...text.matchAll(/\]\(([^)\s]+)(?:\s+"[^"]*")?\)/gu)].map((match) => match[1] ?? '')
}

describe('links in the documents', () => {
  it('lead to a file, and to a heading where they name one', () => {
    const broken = documents.flatMap((document) =>
      linksOf(document).flatMap((link) => {
        if (/^[a-z][a-z+.-]*:/u.test(link)) return []
        const [path = '', anchor] = link.split('#', 2)
        const target = path === '' ? document : posix.join(posix.dirname(document), path)
        if (!existsSync(join(root, target))) return [`${document}: ${link}`]
        if (anchor === undefined || !target.endsWith('.md')) return []
        return anchorsOf(target).has(anchor) ? [] : [`${document}: ${link} (no such heading)`]
      }),
    )
    expect(broken).toEqual([])
  })

  it('lead from the start page to every guide', () => {
    const reachable = new Set<string>()
    const visit = (document: string): void => {
      if (reachable.has(document)) return
      reachable.add(document)
      for (const link of linksOf(document)) {
        const path = posix.join(posix.dirname(document), link.split('#', 1)[0] ?? '')
        if (path.endsWith('.md') && documents.includes(path)) visit(path)
      }
    }
    visit('README.md')
    expect(documents.filter((path) => path.startsWith('docs/') && !reachable.has(path))).toEqual([])
  })
})

describe('the short documents', () => {
  it.each([
    ['AGENTS.md', 80],
    ['ARCHITECTURE.md', 200],
  ])('%s stays within %i lines', (document, maxLines) => {
    expect(readProjectFile(document).split('\n').length - 1).toBeLessThanOrEqual(maxLines)
  })
})

describe('decisions', () => {
  const folder = 'docs/decisions/'
  const notes = filesUnder(folder, '.md').filter((path) => path !== `${folder}README.md`)

  it('are all listed in their README', () => {
    const listed = linksOf(`${folder}README.md`).map((link) => posix.join(folder, link))
    expect(notes.filter((path) => !listed.includes(path))).toEqual([])
  })

  it('are numbered without a gap and say context, decision and consequences', () => {
    const numbers = notes.map((path) => Number(/^(\d{4})-/u.exec(posix.basename(path))?.[1]))
    expect(numbers).toEqual(notes.map((_, index) => index + 1))
    const incomplete = notes.filter((path) =>
      ['## Context', '## Decision', '## Consequences'].some((heading) => !readProjectFile(path).includes(heading)),
    )
    expect(incomplete).toEqual([])
  })

  it('name every dependency with its licence and reason, and no other', () => {
    const note = notes.find((path) => path.endsWith('-dependencies.md'))
    const rows = [...readProjectFile(note ?? '').matchAll(/^\| `([^`]+)` \| ([^|]+) \| ([^|]+) \|$/gmu)]
    const manifest = JSON.parse(readProjectFile('package.json')) as Record<string, Record<string, string> | undefined>
    const declared = [...Object.keys(manifest['dependencies'] ?? {}), ...Object.keys(manifest['devDependencies'] ?? {})]

    expect(rows.map((row) => row[1]).sort()).toEqual(declared.sort())
    const wrongLicences = rows.flatMap(([, name = '', licence = '']) => {
      const installed = JSON.parse(readProjectFile(join('node_modules', name, 'package.json'))) as { license: string }
      return installed.license === licence.trim() ? [] : [`${name}: ${installed.license}`]
    })
    expect(wrongLicences).toEqual([])
  })

  it('give exact versions to the package manager', () => {
    const manifest = JSON.parse(readProjectFile('package.json')) as Record<string, Record<string, string> | undefined>
    const loose = ['dependencies', 'devDependencies'].flatMap((kind) =>
      Object.entries(manifest[kind] ?? {}).filter(([, version]) => !/^\d+\.\d+\.\d+$/u.test(version)),
    )
    expect(loose).toEqual([])
  })
})

describe('the change log', () => {
  it('has a section for what is not released', () => {
    expect(readProjectFile('CHANGELOG.md')).toMatch(/^## Unreleased$/mu)
  })
})

describe('the Makefile', () => {
  it('explains every target that ARCHITECTURE.md or README.md tell a reader to run', () => {
    const makefile = readProjectFile('Makefile')
    const explained = new Set([...makefile.matchAll(/^([a-z-]+):.*## /gmu)].map((match) => match[1]))
    const named = documents.flatMap((document) =>
      [...readProjectFile(document).matchAll(/(?:^|[`\s])make ([a-z-]+)`/gmu)].map((match) => match[1]),
    )
    expect([...new Set(named)].filter((target) => !explained.has(target))).toEqual([])
  })
})
