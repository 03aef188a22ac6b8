import { setTimeout as sleep } from 'node:timers/promises'
import * as cloudtrail from '@aws-sdk/client-cloudtrail'
import * as cloudwatch from '@aws-sdk/client-cloudwatch'
import * as logs from '@aws-sdk/client-cloudwatch-logs'
import * as ecr from '@aws-sdk/client-ecr'
import * as events from '@aws-sdk/client-eventbridge'
import * as iam from '@aws-sdk/client-iam'
import * as sts from '@aws-sdk/client-sts'
import type { Stowage } from '../../support/start-stowage.ts'
import type { ClientModel, Listing, Report, Scenario, Service, Step, Wait } from './step.ts'

type Answer = Readonly<Record<string, unknown>>
interface Client {
  send(command: unknown): Promise<Answer>
  destroy(): void
}
interface Sdk {
  readonly [name: string]: unknown
}

const sdks: Readonly<Record<Service, Sdk>> = { cloudtrail, cloudwatch, ecr, events, iam, logs, sts }
const clientNames: Readonly<Record<Service, string>> = {
  cloudtrail: 'CloudTrailClient',
  cloudwatch: 'CloudWatchClient',
  ecr: 'ECRClient',
  events: 'EventBridgeClient',
  iam: 'IAMClient',
  logs: 'CloudWatchLogsClient',
  sts: 'STSClient',
}

/** Something that a module of the SDK exports under this name. @throws where it exports none. */
function exported<Kind>(service: Service, name: string): Kind {
  const found = sdks[service][name]
  if (found === undefined) throw new Error(`the SDK for ${service} has no ${name}`)
  return found as Kind
}

/** Runs a scenario with the JavaScript SDK, as the root of a server. */
export async function runWithJavascript(
  stowage: Stowage,
  scenario: Scenario,
  model: ClientModel,
  values: Readonly<Record<string, string>>,
): Promise<Report> {
  const saved = new Map(Object.entries(values))
  const problems: string[] = []
  const dates = new Set<string>()
  const clients = new Map<string, Client>()

  function clientOf(service: Service, as?: string): Client {
    const key = `${service} ${as ?? ''}`
    const known = clients.get(key)
    if (known !== undefined) return known
    const credentials =
      as === undefined
        ? stowage.keys
        : {
            accessKeyId: saved.get(`${as}.id`) ?? '',
            secretAccessKey: saved.get(`${as}.secret`) ?? '',
            sessionToken: saved.get(`${as}.token`),
          }
    const made = new (exported<new (options: object) => Client>(service, clientNames[service]))({
      endpoint: stowage.url,
      region: stowage.region,
      credentials,
      maxAttempts: 1,
    })
    clients.set(key, made)
    return made
  }

  function send({ service, operation, input, as }: Pick<Step, 'service' | 'operation' | 'input' | 'as'>): Promise<Answer> {
    const command = exported<new (members: unknown) => unknown>(service, `${operation}Command`)
    return clientOf(service, as).send(new command(filled(input, saved)))
  }

  async function perform(step: Step): Promise<void> {
    const name = `${step.service}.${step.operation}`
    const said = `${name} ${JSON.stringify(step.input).slice(0, 200)}`
    const expected = step.error ?? step.code
    let answer: Answer
    try {
      answer = await send(step)
      const deadline = Date.now() + 20_000
      while (step.until !== undefined && valuesAt(answer, step.until).length === 0 && Date.now() < deadline) {
        await sleep(200)
        answer = await send(step)
      }
    } catch (error) {
      const { name: code, message, $metadata } = error as Error & { $metadata?: { requestId?: string } }
      if (expected === undefined) problems.push(`${said}: ${code}: ${message}`)
      else if (step.error !== undefined && !(error instanceof exported<new () => Error>(step.service, step.error))) {
        problems.push(`${said}: ${code} instead of ${expected}: ${message}`)
      } else if (step.code !== undefined && code !== step.code) problems.push(`${said}: ${code} instead of ${expected}: ${message}`)
      else if (message === '' || $metadata?.requestId === undefined) problems.push(`${said}: ${expected} without a message or a request's id`)
      return
    }
    if (expected !== undefined) {
      problems.push(`${said}: succeeded instead of ${expected}`)
      return
    }
    for (const path of model.dates[name] ?? []) {
      for (const value of valuesAt(answer, path)) {
        dates.add(`${name} ${path}`)
        if (!(value instanceof Date) || Number.isNaN(value.getTime())) problems.push(`${name}: ${path} is ${String(value)}, no time`)
      }
    }
    for (const [key, path] of Object.entries(step.save ?? {})) saved.set(key, String(valuesAt(answer, path)[0]))
  }

  async function walk(listing: Listing): Promise<void> {
    const { service, operation, input, fixedPages } = listing
    const name = `${service}.${operation}`
    const pages: Answer[] = []
    if (service === 'events') {
      // This SDK leaves it to its users.
      let NextToken: unknown
      do {
        const page = await send({ service, operation, input: { ...input, Limit: 1, ...(NextToken === undefined ? {} : { NextToken }) } })
        pages.push(page)
        NextToken = page['NextToken']
      } while (NextToken !== undefined)
    } else {
      const paginate = exported<(config: object, input: unknown) => AsyncIterable<Answer>>(service, `paginate${operation}`)
      for await (const page of paginate({ client: clientOf(service), ...(fixedPages === undefined && { pageSize: 1 }) }, filled(input, saved))) pages.push(page)
    }
    if (fixedPages !== undefined) {
      const sizes = pages.map((page) => itemsOf(page, model.pages[name]?.[0]).length)
      if (sizes[0] !== fixedPages.size || sizes.reduce((sum, size) => sum + size) !== fixedPages.items) problems.push(`${name}: pages of ${sizes.join(', ')}`)
      return
    }
    if (pages.length < (listing.pages ?? 3)) problems.push(`${name}: ${pages.length} pages of one`)
    const whole = await send(listing)
    for (const key of model.pages[name] ?? []) {
      const together = JSON.stringify(pages.flatMap((page) => itemsOf(page, key)))
      if (together !== JSON.stringify(itemsOf(whole, key))) problems.push(`${name}: pages have ${together}, the whole ${JSON.stringify(whole[key])}`)
    }
  }

  /** Begins to wait, and then looks whether it ended. */
  async function wait({ service, waiter, input }: Wait): Promise<void> {
    const until = exported<(config: object, input: unknown) => Promise<{ state: string }>>(service, `waitUntil${waiter}`)
    const client = clientOf(service)
    const { state } = await until({ client, maxWaitTime: 10 }, filled(input, saved))
    if (state !== 'SUCCESS') problems.push(`${waiter}: ${state}`)
    const absent = JSON.parse(JSON.stringify(filled(input, saved)).replaceAll('client', 'nobody')) as unknown
    const ended = await Promise.race([until({ client, maxWaitTime: 3, minDelay: 1, maxDelay: 1 }, absent).catch((error: unknown) => (error as Error).name), sleep(10_000)])
    if (ended !== 'TimeoutError') problems.push(`${waiter}: waiting for nothing ended with ${JSON.stringify(ended)}`)
  }

  async function all<Each>(several: readonly Each[], action: (one: Each) => Promise<void>): Promise<void> {
    for (const one of several) {
      try {
        await action(one)
      } catch (error) {
        problems.push(`${JSON.stringify(one).slice(0, 200)}: ${String(error)}`)
      }
    }
  }

  await all(scenario.steps, perform)
  await all(scenario.lists, walk)
  await Promise.all(scenario.waits.map((waiting) => all([waiting], wait)))
  await all(scenario.cleaning, perform)
  for (const client of clients.values()) client.destroy()
  return { problems, dates: [...dates].sort() }
}

/** What a page has under a key; nothing where it leaves the key out. */
function itemsOf(page: Answer, key = ''): readonly unknown[] {
  return (page[key] as readonly unknown[] | undefined) ?? []
}

/** An input with what was saved in place of `${name}`, and bytes where it has some. */
function filled(value: unknown, saved: ReadonlyMap<string, string>): unknown {
  if (typeof value === 'string') {
    return value.replaceAll(/\$\{([\w.]+)\}/g, (_, name: string) => {
      const found = saved.get(name)
      if (found === undefined) throw new Error(`nothing was saved as ${name}`)
      return found
    })
  }
  if (Array.isArray(value)) return value.map((element: unknown) => filled(element, saved))
  if (typeof value !== 'object' || value === null) return value
  if ('$blob' in value) return Buffer.from(String(value.$blob))
  if ('$time' in value) return new Date(String(value.$time))
  return Object.fromEntries(Object.entries(value).map(([name, member]) => [name, filled(member, saved)]))
}

/** All values at a path such as `Users[].CreateDate`; none where there is no such member. */
function valuesAt(answer: unknown, path: string): unknown[] {
  return path.split('.').reduce<unknown[]>(
    (found, name) => {
      const plain = name.replaceAll('[]', '')
      const values = found.flatMap((value) => {
        const member = (value as Readonly<Record<string, unknown>>)[plain]
        return member === undefined ? [] : [member]
      })
      return name.endsWith('[]') ? values.flat() : values
    },
    [answer],
  )
}
