import { configError } from './errors.ts'
import { configSchema, notesOf, settingNames, type Config, type SettingName } from './schema.ts'

export type Environment = Readonly<Record<string, string | undefined>>

/** Enough of a refused value to recognise it. */
const shownValueLength = 80

/**
 * Reads the settings from the environment; the only place that does. A blank variable counts as unset.
 *
 * @throws `config-invalid`, whose message lists every refused variable with what to write instead.
 */
export function loadConfig(environment: Environment = process.env): Config {
  const texts = Object.fromEntries(settingNames.map((name) => [name, textOf(environment, name)]))
  const result = configSchema.safeParse(texts)
  if (result.success) return result.data
  const problems = result.error.issues.map((issue) => describe(environment, issue.path[0] as SettingName, issue.message))
  const variables = result.error.issues.map((issue) => notesOf(issue.path[0] as SettingName).env)
  throw configError('config-invalid', problems.join('\n'), { detail: { variables } })
}

function textOf(environment: Environment, name: SettingName): string | undefined {
  const text = environment[notesOf(name).env]?.trim()
  return text === '' ? undefined : text
}

function describe(environment: Environment, name: SettingName, message: string): string {
  const { env, secret } = notesOf(name)
  const text = textOf(environment, name)
  // A message about the value shows it; one about its absence, or about the way it is combined, reads without it.
  if (text === undefined || message.startsWith('would ') || message.startsWith('cannot ')) return `${env} ${message}`
  if (secret === true) return `${env}: ${message} (its value is not shown)`
  const shown = text.length > shownValueLength ? `${text.slice(0, shownValueLength)}…` : text
  return `${env}: ${message}; it is ${JSON.stringify(shown)}`
}

/**
 * Variables that look like settings and are none: most likely misspelt. A container platform puts variables
 * of its own beside them for a service named "stowage"; those are not listed.
 */
export function unknownSettings(environment: Environment = process.env): readonly string[] {
  const known = new Set(settingNames.map((name) => notesOf(name).env))
  return Object.keys(environment)
    .filter((name) => name.startsWith('STOWAGE_') && !known.has(name) && !isForeign(name))
    .sort()
}

/** Service variables of Kubernetes and of Docker links, and what the development scripts read. */
function isForeign(name: string): boolean {
  return /^STOWAGE_(?:\w+_)?(?:SERVICE_HOST|SERVICE_PORT(?:_\w+)?|PORT|PORT_\d+_\w+|NAME|ENV_\w+)$/u.test(name) || /^STOWAGE_(?:PINNED|TEST|BENCH)_/u.test(name)
}
