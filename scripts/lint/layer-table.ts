/**
 * Who may import whom in src/. ESLint (layer-rules.ts) and the repository test (test/repo/layers.test.ts)
 * both read this table, so an editor and CI give the same answer.
 *
 * A unit is a folder under src/ or one of the files at its root. A file belongs to the unit with the
 * longest matching name: src/storage/metadata/x.ts to `storage/metadata`, src/storage/errors.ts to `storage`.
 */
export interface Unit {
  /** 0 is the bottom. A unit imports lower layers, and of its own layer only what `mayImport` names. */
  readonly layer: number
  readonly mayImport: readonly string[]
}

const base = ['values', 'internal', 'config'] as const

/** `storage` alone is that folder's root: its error codes, which the edges' total error tables need. */
const storageParts = ['storage/metadata', 'storage/blobs', 'storage/jobs', 'storage/outbox'] as const

const rules = ['registry', 'iam', 'kms'] as const

const processes = [
  'archive',
  'backup',
  'integrity',
  'lifecycle',
  'gc',
  'build',
  'pipeline',
  'deploy',
  'scan',
  'signing',
  'audit',
  'metrics',
  'tracing',
  'logs',
  'events',
] as const

const protocols = ['http/distribution', 'http/aws', 'http/ops', 'http/console'] as const

const belowRules = [...base, 'storage', ...storageParts]
const belowEdges = [...base, 'storage', ...rules, ...processes]

const process: Unit = { layer: 3, mayImport: [...belowRules, ...rules] }
const protocol: Unit = { layer: 4, mayImport: [...belowEdges, 'http'] }

export const units: Readonly<Record<string, Unit>> = {
  internal: { layer: 0, mayImport: [] },
  values: { layer: 0, mayImport: ['internal'] },
  config: { layer: 0, mayImport: ['internal', 'values'] },

  storage: { layer: 1, mayImport: base },
  'storage/metadata': { layer: 1, mayImport: [...base, 'storage'] },
  'storage/blobs': { layer: 1, mayImport: [...base, 'storage'] },
  'storage/jobs': { layer: 1, mayImport: [...base, 'storage', 'storage/metadata'] },
  'storage/outbox': { layer: 1, mayImport: [...base, 'storage', 'storage/metadata'] },

  iam: { layer: 2, mayImport: belowRules },
  kms: { layer: 2, mayImport: [...belowRules, 'iam'] },
  registry: { layer: 2, mayImport: [...belowRules, 'iam', 'kms'] },

  ...Object.fromEntries(processes.map((name) => [name, process])),
  // Metrics are made of records, in the transaction that seals these.
  audit: { layer: 3, mayImport: [...process.mayImport, 'metrics'] },
  // Alarms tell events.
  metrics: { layer: 3, mayImport: [...process.mayImport, 'events'] },

  http: { layer: 4, mayImport: [...belowEdges, ...protocols] },
  ...Object.fromEntries(protocols.map((name) => [name, protocol])),
  cli: { layer: 4, mayImport: [...belowEdges, 'platform.ts', 'platform-verify.ts', 'platform-backup.ts', 'main.ts'] },

  // The catalogue of write commands, loaded by the platform and by the SQLite writer's thread.
  'commands.ts': { layer: 4, mayImport: [...belowRules, ...rules, ...processes] },
  // Parts of the composition that are long enough for a file of their own.
  'platform-metrics.ts': { layer: 4, mayImport: [...belowRules, ...rules, ...processes] },
  'platform-events.ts': { layer: 4, mayImport: [...belowRules, ...rules, ...processes, 'platform-metrics.ts'] },
  'platform-logs.ts': { layer: 4, mayImport: [...belowRules, ...rules, ...processes] },
  'platform-tracing.ts': { layer: 4, mayImport: [...belowRules, ...rules, ...processes] },
  'platform-lifecycle.ts': { layer: 4, mayImport: [...belowRules, ...rules, ...processes, 'platform-metrics.ts'] },
  'platform-audit.ts': { layer: 4, mayImport: [...belowRules, ...rules, ...processes, 'http', 'http/ops', 'platform-metrics.ts'] },
  'platform.ts': {
    layer: 5,
    mayImport: [
      ...[...belowRules, ...rules, ...processes, 'http', ...protocols],
      ...['commands.ts', 'platform-metrics.ts', 'platform-tracing.ts', 'platform-events.ts', 'platform-logs.ts', 'platform-lifecycle.ts', 'platform-audit.ts'],
    ],
  },
  // What `stowage verify` is made of, beside a server or without one.
  'platform-verify.ts': { layer: 5, mayImport: [...belowRules, ...rules, ...processes, 'platform.ts'] },
  // Likewise of `stowage backup` and `stowage restore`, which ends with a verification.
  'platform-backup.ts': { layer: 5, mayImport: [...belowRules, ...rules, ...processes, 'platform.ts', 'platform-verify.ts'] },
  'main.ts': { layer: 5, mayImport: [...base, 'metrics', 'http', ...protocols, 'platform.ts'] },
  'cli.ts': { layer: 5, mayImport: [...base, 'cli', 'platform.ts', 'main.ts'] },
  // Programs that docker and kubelets run by their names.
  'docker-credential-stowage.ts': { layer: 5, mayImport: ['cli'] },
  'stowage-kubelet-credential-provider.ts': { layer: 5, mayImport: ['cli'] },
}

/** Packages and built-in modules that only some units may import; any other declared dependency is free. */
export const restrictedPackages: Readonly<Record<string, readonly string[]>> = {
  kysely: ['storage/metadata'],
  pg: ['storage/metadata'],
  'node:sqlite': ['storage/metadata'],
  nodemailer: ['events'],
  commander: ['cli', 'cli.ts'],
  '@opentelemetry/api': ['tracing'],
  '@opentelemetry/core': ['tracing'],
  '@opentelemetry/exporter-trace-otlp-http': ['tracing'],
  '@opentelemetry/resources': ['tracing'],
  '@opentelemetry/sdk-trace': ['tracing'],
}

/** Units whose job is to put services together; everywhere else they arrive as parameters. */
export const composers: readonly string[] = ['main.ts', 'cli.ts', 'cli', 'platform.ts', 'platform-events.ts', 'platform-logs.ts', 'platform-lifecycle.ts', 'platform-audit.ts', 'platform-verify.ts', 'platform-backup.ts']

/** Test files and the contract suites beside the code may import anything that exists. */
export function isTestCode(path: string): boolean {
  return /\.test\.ts$|(^|\/)contract\.ts$|\.test-support\.ts$/u.test(path)
}

/** The unit of a path relative to src/ (`registry/tags.ts` → `registry`), or undefined when the table has none. */
export function unitOf(pathInSrc: string): string | undefined {
  let name = pathInSrc
  while (name !== '') {
    if (Object.hasOwn(units, name)) return name
    name = name.slice(0, Math.max(0, name.lastIndexOf('/')))
  }
  return undefined
}

/** Why `fromPath` may not import `toPath` (both relative to src/), or undefined when it may. */
export function importViolation(fromPath: string, toPath: string): string | undefined {
  const from = unitOf(fromPath)
  const to = unitOf(toPath)
  if (from === undefined) return `${fromPath} is in no unit of the layer table (scripts/lint/layer-table.ts)`
  if (to === undefined) return `${toPath} is in no unit of the layer table (scripts/lint/layer-table.ts)`
  if (from === to || units[from]?.mayImport.includes(to) === true) return undefined
  return `${from} may not import ${to}: see the layers in ARCHITECTURE.md`
}

/** Why `fromPath` may not import the package or built-in module `name`, or undefined when it may. */
export function packageViolation(fromPath: string, name: string): string | undefined {
  const allowed = restrictedPackages[name]
  const from = unitOf(fromPath)
  if (allowed === undefined || (from !== undefined && allowed.includes(from))) return undefined
  return `only ${allowed.join(', ')} may import ${name}`
}
