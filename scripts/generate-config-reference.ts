import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { configReference } from '../src/config/reference.ts'

// Writes docs/reference/config.md from the settings' schema; with --check, says whether it is current.

const file = join(import.meta.dirname, '../docs/reference/config.md')
const text = configReference()

if (!process.argv.includes('--check')) {
  mkdirSync(dirname(file), { recursive: true })
  writeFileSync(file, text)
} else if (readIfThere(file) !== text) {
  console.error('docs/reference/config.md is out of date: run node scripts/generate-config-reference.ts')
  process.exitCode = 1
}

function readIfThere(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return undefined
  }
}
