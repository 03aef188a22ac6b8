import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { metricsReference } from '../src/metrics/index.ts'

// Writes docs/reference/metrics.md from the declarations of metrics; with --check, says whether it is current.

const file = join(import.meta.dirname, '../docs/reference/metrics.md')
const text = metricsReference()

if (!process.argv.includes('--check')) writeFileSync(file, text)
else if (!existsSync(file) || readFileSync(file, 'utf8') !== text) {
  console.error('docs/reference/metrics.md is out of date: run node scripts/generate-metrics-reference.ts')
  process.exitCode = 1
}
