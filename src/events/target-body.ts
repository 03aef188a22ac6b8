import { findStructuralProblem } from '../values/json-structure.ts'
import { eventsError } from './errors.ts'

/** What a target is sent instead of the event itself: at most one of them. https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-transform-target-input.html */
export interface TargetBody {
  readonly input?: string | undefined
  readonly inputPath?: string | undefined
  readonly inputTransformer?: InputTransformer | undefined
}

export interface InputTransformer {
  readonly paths: Readonly<Record<string, string>>
  readonly template: string
}

/** What a template may name beside its own variables. */
export interface RuleFacts {
  readonly ruleArn: string
  readonly ruleName: string
}

type Json = Readonly<Record<string, unknown>>

const mostPaths = 100

/** @throws `event-input-invalid` */
export function requireTargetBody(body: TargetBody): void {
  const { input, inputPath, inputTransformer } = body
  if ([input, inputPath, inputTransformer].filter((each) => each !== undefined).length > 1) {
    throw invalid('Only one of Input, InputPath and InputTransformer may be given.')
  }
  if (input !== undefined) requireJson(input, 'Input')
  if (inputPath !== undefined) parsePath(inputPath)
  if (inputTransformer === undefined) return
  const { paths, template } = inputTransformer
  if (Object.keys(paths).length > mostPaths) throw invalid(`InputPathsMap may have ${mostPaths} entries at most.`)
  for (const [name, path] of Object.entries(paths)) {
    if (!/^[\w-]+$/u.test(name) || name.toUpperCase().startsWith('AWS')) throw invalid(`InputPathsMap: '${name.slice(0, 100)}' is not a name that a variable may have.`)
    parsePath(path)
  }
  requireJson(filled(template, () => null), 'InputTemplate')
  filled(template, (name) => {
    if (!Object.hasOwn(paths, name) && !reserved.has(name)) throw invalid(`InputTemplate: the variable '${name}' is not in InputPathsMap.`)
    return null
  })
}

const reserved: ReadonlySet<string> = new Set(['aws.events.rule-arn', 'aws.events.rule-name', 'aws.events.event', 'aws.events.event.json', 'aws.events.event.ingestion-time'])

/** The text that is sent for an event, itself given as text. The body is one that `requireTargetBody` took. */
export function bodyFor({ input, inputPath, inputTransformer }: TargetBody, eventText: string, rule: RuleFacts): string {
  if (input !== undefined) return input
  if (inputPath === undefined && inputTransformer === undefined) return eventText
  const event = JSON.parse(eventText) as Json
  if (inputPath !== undefined) return JSON.stringify(valueAt(event, inputPath) ?? null)
  const { paths, template } = inputTransformer!
  const own: Readonly<Record<string, unknown>> = {
    'aws.events.rule-arn': rule.ruleArn,
    'aws.events.rule-name': rule.ruleName,
    'aws.events.event': event,
    'aws.events.event.json': event,
    'aws.events.event.ingestion-time': event['time'],
  }
  return filled(template, (name) => (Object.hasOwn(paths, name) ? valueAt(event, paths[name]!) : own[name]))
}

/**
 * Variables outside of quotes become JSON, those within become text, escaped so that the whole stays what it was. What an event
 * has not got is null, or nothing within quotes.
 */
function filled(template: string, valueOf: (name: string) => unknown): string {
  let isQuoted = false
  return template.replaceAll(/\\.|"|<([\w.-]+)>/gsu, (part: string, name: string | undefined) => {
    if (part === '"') isQuoted = !isQuoted
    if (name === undefined) return part
    const value = valueOf(name) ?? null
    if (!isQuoted) return JSON.stringify(value)
    const text = value === null ? '' : typeof value === 'string' ? value : JSON.stringify(value)
    return JSON.stringify(text).slice(1, -1)
  })
}

function valueAt(event: Json, path: string): unknown {
  let value: unknown = event
  for (const step of parsePath(path)) {
    if (typeof value !== 'object' || value === null || !Object.hasOwn(value, step)) return undefined
    value = (value as Readonly<Record<string | number, unknown>>)[step]
  }
  return value
}

/** `$.detail.image-tags[0]`, also `$['detail']`. */
function parsePath(path: string): (string | number)[] {
  const steps: (string | number)[] = []
  const rest = /^\$((?:\.[\w-]+|\[\d{1,6}\]|\['[^'\\]{1,256}'\])*)$/u.exec(path.length > 256 ? '' : path)?.[1]
  if (rest === undefined) throw invalid(`'${path.slice(0, 100)}' is not a path such as $.detail.image-tag`)
  for (const [, name, index, quoted] of rest.matchAll(/\.([\w-]+)|\[(\d+)\]|\['([^']+)'\]/gu)) {
    steps.push(index === undefined ? (name ?? quoted ?? '') : Number(index))
  }
  return steps
}

function requireJson(text: string, name: string): void {
  try {
    JSON.parse(text)
  } catch {
    throw invalid(`${name} has to be JSON${name === 'InputTemplate' ? ' once its variables are filled in' : ''}.`)
  }
  const problem = findStructuralProblem(text)
  if (problem !== undefined) throw invalid(`${name}: ${problem}`)
}

function invalid(message: string): Error {
  return eventsError('event-input-invalid', message)
}
