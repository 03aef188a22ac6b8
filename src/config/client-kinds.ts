import { clientKinds, type ClientKind, type ClientKindRule } from '../values/client-kind.ts'
import { parseNetworkRange } from './address.ts'
import { settingNotes } from './setting-notes.ts'
import { parsed } from './setting-values.ts'

/** A pull compares itself with each of them once. */
const maxRules = 200
const maxPatternLength = 256

function isKind(text: string): text is ClientKind {
  return (clientKinds as readonly string[]).includes(text)
}

/** `kind=condition&condition, …`, with conditions such as `network:10.0.0.0/8`. Undefined for any other text. */
export function parseClientKindRules(text: string): readonly ClientKindRule[] | undefined {
  const rules = text
    .split(',')
    .map((part) => part.trim())
    .filter((part) => part !== '')
    .map(parseRule)
  return rules.length <= maxRules && rules.every((rule) => rule !== undefined) ? rules : undefined
}

function parseRule(text: string): ClientKindRule | undefined {
  const equals = text.indexOf('=')
  const kind = text.slice(0, equals)
  if (equals === -1 || !isKind(kind)) return undefined
  let rule: ClientKindRule = { kind }
  for (const condition of text.slice(equals + 1).split('&')) {
    const colon = condition.indexOf(':')
    const name = condition.slice(0, Math.max(0, colon)).trim()
    const value = condition.slice(colon + 1).trim()
    if (value === '' || value.length > maxPatternLength || Object.hasOwn(rule, name)) return undefined
    switch (name) {
      case 'agent':
      case 'principal':
        rule = { ...rule, [name]: value }
        break
      case 'network': {
        const network = parseNetworkRange(value)
        if (network === undefined) return undefined
        rule = { ...rule, network }
        break
      }
      default:
        return undefined
    }
  }
  return rule
}

function parseKinds(text: string): ReadonlySet<ClientKind> | undefined {
  const kinds = text
    .split(',')
    .map((part) => part.trim())
    .filter((part) => part !== '')
  return kinds.every(isKind) ? new Set(kinds) : undefined
}

/** Which clients are what, and whose pulls are use. */
export const clientKindSettings = {
  clientKinds: parsed(
    parseClientKindRules,
    'write rules with commas between them, such as ci=network:10.3.0.0/16,scanner=principal:role/trivy-*,workload=agent:nomad/*&network:10.4.0.0/16; the kinds are workload, ci, scanner, replication and person',
  )
    .prefault('')
    .register(settingNotes, {
      env: 'STOWAGE_CLIENT_KINDS',
      group: 'Operation',
      form: '`kind=condition&condition` list',
      description:
        'What kind of client pulls: `workload`, `ci`, `scanner`, `replication` or `person`, by `agent:`, `principal:` and `network:`. The first rule that fits counts, and those that are built in come after these. [How kinds are told](../operations/monitoring.md#kinds-of-client).',
      unset: 'the built-in rules alone',
    }),
  pullClockKinds: parsed(parseKinds, 'write kinds with commas between them: workload, ci, scanner, replication, person')
    .prefault('workload,ci,person')
    .register(settingNotes, {
      env: 'STOWAGE_PULL_CLOCK_KINDS',
      group: 'Operation',
      form: 'list of kinds',
      description: 'The kinds of client whose pulls are use of an image: they move `lastRecordedPullTime`, and with it what lifecycle policies see.',
    }),
}
