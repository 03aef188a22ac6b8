import { copyFileSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { declaredMetrics, isList, type MetricDeclaration } from '../../src/metrics/index.ts'
import { run } from '../support/run.ts'
import { createTempDir, type TempDir } from '../support/temp-dir.ts'
import { ensureTool, projectDir } from '../support/tools.ts'

/*
 * What operators copy: alert rules and a dashboard. Debian's promtool parses every expression and fires every alert; the
 * declarations say whether what they ask for is told at all.
 */

const folder = join(projectDir, 'docs/operations/monitoring')
const alertsFile = join(folder, 'alerts.yaml')
const tests = ['alerts-test.yaml', 'alerts-of-days-test.yaml']
const declared: Readonly<Record<string, MetricDeclaration>> = declaredMetrics

interface Target {
  readonly expr: string
}

interface Panel {
  readonly id: number
  readonly title: string
  readonly type: string
  readonly gridPos: { readonly x: number; readonly y: number; readonly w: number; readonly h: number }
  readonly targets?: readonly Target[]
}

interface Dashboard {
  readonly panels: readonly Panel[]
  readonly annotations: { readonly list: readonly Target[] }
}

const dashboard = JSON.parse(readFileSync(join(folder, 'dashboard.json'), 'utf8')) as Dashboard
const alertText = readFileSync(alertsFile, 'utf8')
const alertNames = [...alertText.matchAll(/- alert: (\w+)/gu)].map(([, name = '']) => name)
/** One-line expressions, and the indented lines under a "|". */
const alertExpressions = [...alertText.matchAll(/^( +)expr: (?:\|\n((?:\1 +.*\n)+)|(.*)\n)/gmu)].map(([, , block, line]) => block ?? line ?? '')
const dashboardExpressions = [...dashboard.panels.flatMap(({ targets = [] }) => targets), ...dashboard.annotations.list].map(({ expr }) =>
  expr.replaceAll('$__rate_interval', '5m').replaceAll('$job', 'stowage').replaceAll('$instance', '.+'),
)

let dir: TempDir
beforeAll(() => {
  dir = createTempDir('monitoring')
})
afterAll(() => {
  dir.remove()
})

/** What is wrong with the metrics and labels that an expression names. */
function undeclaredParts(expression: string): string[] {
  const bare = expression.replaceAll(/"[^"]*"/gu, '""')
  const names = [...bare.matchAll(/\b(?:stowage|process)_[a-z_]+\b/gu)].map(([name]) => name)
  const unknown = names.filter((name) => declarationOf(name) === undefined)
  const selectors = [...expression.matchAll(/\b((?:stowage|process)_[a-z_]+)\{([^}]*)\}/gu)]
  const wrong = selectors.flatMap(([, name = '', matchers = '']) => {
    const labels = declarationOf(name)?.labels ?? {}
    return [...matchers.matchAll(/([a-z]+)(=~|!~|!=|=)"([^"]*)"/gu)].flatMap(([, label = '', operator = '', text = '']) => {
      if (['job', 'instance', 'le'].includes(label)) return []
      const values = labels[label]
      if (values === undefined) return [`${name} has no label ${label}`]
      const asked = operator.endsWith('~') ? text.split('|') : [text]
      return isList(values) ? asked.filter((value) => !values.includes(value)).map((value) => `${name}: no ${label} is ${value}`) : []
    })
  })
  return [...unknown, ...wrong]
}

function declarationOf(name: string): MetricDeclaration | undefined {
  const base = name.replace(/_(?:bucket|sum|count)$/u, '')
  return declared[name] ?? (declared[base]?.type === 'histogram' ? declared[base] : undefined)
}

describe('alert rules', () => {
  it('are what promtool takes, and name what is told', async () => {
    await run(ensureTool('promtool'), ['check', 'rules', '--lint-fatal', alertsFile])
    expect(alertExpressions).toHaveLength(alertNames.length)
    expect(alertExpressions.flatMap(undeclaredParts)).toEqual([])
  })

  it.each(tests)('fire when they should and not when they should not: %s', async (file) => {
    copyFileSync(alertsFile, join(dir.path, 'alerts.yaml'))
    copyFileSync(join(import.meta.dirname, file), join(dir.path, file))
    await run(ensureTool('promtool'), ['test', 'rules', file], { cwd: dir.path })
  })

  it('have a test each, and a line in the guide', () => {
    const tested = tests.map((file) => readFileSync(join(import.meta.dirname, file), 'utf8')).join('\n')
    const guide = readFileSync(join(projectDir, 'docs/operations/monitoring.md'), 'utf8')
    const isTested = (name: string): boolean => tested.includes(`alertname: ${name}`) || tested.includes(`alertname="${name}"`)
    expect(alertNames.filter((name) => !isTested(name))).toEqual([])
    expect(alertNames.filter((name) => !guide.includes(`\`${name}\``))).toEqual([])
  })
})

describe('the dashboard', () => {
  it('asks in expressions that promtool takes, for what is told', async () => {
    const file = join(dir.path, 'dashboard-expressions.yaml')
    const rules = dashboardExpressions.map((expr, index) => ({ record: `expression_${index}`, expr }))
    // JSON is YAML.
    writeFileSync(file, JSON.stringify({ groups: [{ name: 'dashboard', rules }] }))
    const { stdout } = await run(ensureTool('promtool'), ['check', 'rules', file])
    expect(stdout).toContain(`${dashboardExpressions.length} rules found`)
    expect(dashboardExpressions.flatMap(undeclaredParts)).toEqual([])
  })

  it('has panels beside each other, each under a number of its own', () => {
    const { panels } = dashboard
    expect(new Set(panels.map(({ id }) => id)).size).toBe(panels.length)
    const cells = panels.flatMap(({ gridPos: { x, y, w, h } }) => Array.from({ length: w * h }, (_, n) => `${x + (n % w)},${y + Math.floor(n / w)}`))
    expect(new Set(cells).size).toBe(cells.length)
    expect(panels.filter(({ gridPos: { x, w } }) => x + w > 24)).toEqual([])
    expect(panels.filter(({ type, targets = [] }) => (type === 'row') !== (targets.length === 0))).toEqual([])
  })
})

it('finds what is not told: names, labels and values', () => {
  expect(undeclaredParts('rate(stowage_pulls_total[5m])')).toEqual(['stowage_pulls_total'])
  expect(undeclaredParts('stowage_gc_queue_bucket')).toEqual(['stowage_gc_queue_bucket'])
  expect(undeclaredParts('stowage_gc_queue{repository="a"}')).toEqual(['stowage_gc_queue has no label repository'])
  expect(undeclaredParts('stowage_gc_queue{state=~"due|late",kind="blob"}')).toEqual(['stowage_gc_queue: no state is late'])
})
