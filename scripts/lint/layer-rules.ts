import { dirname, relative, resolve, sep } from 'node:path'
import type { Rule } from 'eslint'
import { composers, importViolation, isTestCode, packageViolation, unitOf, units } from './layer-table.ts'

const src = resolve(import.meta.dirname, '../../src')

function pathInSrc(file: string): string {
  return relative(src, file).split(sep).join('/')
}

/** Where an import leads, relative to src/; undefined for a package, a built-in module or a path outside. */
function target(fromFile: string, specifier: string): string | undefined {
  if (!specifier.startsWith('.')) return undefined
  const path = pathInSrc(resolve(dirname(fromFile), specifier))
  return path.startsWith('..') ? undefined : path
}

const layers: Rule.RuleModule = {
  meta: { type: 'problem', schema: [] },
  create(context) {
    const from = pathInSrc(context.filename)
    if (from.startsWith('..') || isTestCode(from)) return {}
    const check = (node: Rule.Node, specifier: unknown): void => {
      if (typeof specifier !== 'string') return
      const to = target(context.filename, specifier)
      let message: string | undefined
      if (to !== undefined) message = importViolation(from, to)
      else if (specifier.startsWith('.')) message = 'src/ imports nothing outside src/'
      else message = packageViolation(from, specifier)
      if (message !== undefined) context.report({ node, message })
    }
    return {
      ImportDeclaration: (node) => { check(node, node.source.value) },
      ExportAllDeclaration: (node) => { check(node, node.source.value) },
      ExportNamedDeclaration: (node) => { check(node, node.source?.value) },
      ImportExpression: (node) => { check(node, node.source.type === 'Literal' ? node.source.value : undefined) },
    }
  },
}

/** Layer 0 holds values and small tools, which anybody may construct; services live above it. */
const lowestServiceLayer = 1

const composition: Rule.RuleModule = {
  meta: { type: 'problem', schema: [] },
  create(context) {
    const from = pathInSrc(context.filename)
    const unit = unitOf(from)
    if (unit === undefined || isTestCode(from) || composers.includes(unit)) return {}
    const foreignServices = new Map<string, string>()
    return {
      ImportDeclaration(node) {
        const to = target(context.filename, String(node.source.value))
        const owner = to === undefined ? undefined : unitOf(to)
        if (owner === undefined || owner === unit || (units[owner]?.layer ?? 0) < lowestServiceLayer) return
        for (const specifier of node.specifiers) foreignServices.set(specifier.local.name, owner)
      },
      NewExpression(node) {
        if (node.callee.type !== 'Identifier') return
        const owner = foreignServices.get(node.callee.name)
        if (owner === undefined) return
        const message = `${node.callee.name} belongs to ${owner}: take it as a parameter, platform.ts constructs it`
        context.report({ node, message })
      },
    }
  },
}

/** What a write command may not reach: it runs inside a transaction and may run again after a rollback. */
const ioModules = /^node:(fs|net|tls|https?|http2|dns|child_process|worker_threads|timers|dgram|cluster)(\/|$)/u

const commands: Rule.RuleModule = {
  meta: { type: 'problem', schema: [] },
  create(context) {
    if (isTestCode(pathInSrc(context.filename))) return {}
    const suspects: { node: Rule.Node; specifier: string }[] = []
    let definesCommands = false
    return {
      ImportDeclaration(node) {
        const specifier = String(node.source.value)
        for (const { local } of node.specifiers) definesCommands ||= local.name === 'defineCommand'
        if (ioModules.test(specifier)) suspects.push({ node, specifier })
      },
      'Program:exit'() {
        if (!definesCommands) return
        for (const { node, specifier } of suspects) {
          context.report({ node, message: `a write command does no I/O but the database's: no ${specifier} here` })
        }
      },
    }
  },
}

export const stowagePlugin = { rules: { layers, composition, commands } }
