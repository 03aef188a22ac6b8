import type { Command } from 'commander'
import type { CommandIo } from './command-io.ts'
import { addAwsOptions, awsHelp, type AwsWords } from './iam-command.ts'

interface EventsWords extends AwsWords {
  readonly json?: boolean
}

interface DestinationWords extends EventsWords {
  readonly url?: string
  readonly description?: string
  readonly secretFrom?: string
  readonly newSecret?: boolean
}

/** Adds `stowage events`. */
export function addEvents(program: Command, io: CommandIo, onExit: (exitCode: number) => void): void {
  const events = program
    .command('events')
    .description('Webhooks and mail that events are sent to, and what could not be delivered.')
    .addHelpText(
      'after',
      `
What is sent is said with "aws events put-rule" and "aws events put-targets", whose targets have the ARNs of destinations.
docs/operations/events.md tells how, and how a receiver knows whom an event is from.
${awsHelp}

Examples:
  $ stowage events destination create --url https://hooks.example.com/registry hooks
  $ stowage events destination list
  $ stowage events dead-letters replay --rule pushes`,
    )
  const destination = events.command('destination').description('The URLs that events are sent to: webhooks and mail.')
  const addTo = (parent: Command, name: string, description: string): Command => addAwsOptions(parent.command(name).description(description)).option('--json', 'as JSON')
  const add = (name: string, description: string): Command => addTo(destination, name, description)

  add('create', 'Make a destination, and show its ARN and the secret that what is sent there is signed with.')
    .argument('<name>', 'its name in its ARN')
    .requiredOption('--url <url>', 'where events are sent: https://…, or mail, smtps://user@host?from=…&to=…')
    .option('--description <text>', 'what it is for')
    .option('--secret-from <file>', 'a file with the secret, whsec_… (default: one is made up and shown), or with the password of mail')
    .action(async (name: string, words: DestinationWords) => {
      const { createDestination } = await import('./events.ts')
      onExit(await createDestination(io, { name, ...destinationOf(words), ...optionsOf(words) }))
    })
  add('update', 'Change where a destination is, or its secret.')
    .argument('<name>', 'its name')
    .option('--url <url>', 'where events are sent from now on')
    .option('--description <text>', 'what it is for')
    .option('--secret-from <file>', 'a file with the secret from now on')
    .option('--new-secret', 'make up another secret and show it')
    .action(async (name: string, words: DestinationWords) => {
      const { updateDestination } = await import('./events.ts')
      onExit(await updateDestination(io, { name, newSecret: words.newSecret === true, ...destinationOf(words), ...optionsOf(words) }))
    })
  add('delete', 'Remove a destination that no target sends to.')
    .argument('<name>', 'its name')
    .action(async (name: string, words: EventsWords) => {
      const { deleteDestination } = await import('./events.ts')
      onExit(await deleteDestination(io, { name, ...optionsOf(words) }))
    })
  addDeadLetters(events, io, onExit)
  add('list', 'List the destinations of a registry.').action(async (words: EventsWords) => {
    const { listDestinations } = await import('./events.ts')
    onExit(await listDestinations(io, optionsOf(words)))
  })
}

function addDeadLetters(events: Command, io: CommandIo, onExit: (exitCode: number) => void): void {
  const deadLetters = events.command('dead-letters').description('Events that could not be delivered, and why. They are kept for two weeks.')
  const add = (name: string, description: string): Command => addAwsOptions(deadLetters.command(name).description(description)).option('--json', 'as JSON, with the events')
  add('list', 'List the dead letters of a registry, oldest first.').action(async (words: EventsWords) => {
    const { listDeadLetters } = await import('./event-dead-letters.ts')
    onExit(await listDeadLetters(io, optionsOf(words)))
  })
  add('replay', 'Send dead letters again, behind what is on its way to their targets.')
    .argument('[id...]', 'their numbers')
    .option('--rule <name>', 'all of a rule')
    .option('--all', 'all of the registry')
    .action(async (ids: string[], words: EventsWords & { readonly rule?: string; readonly all?: boolean }) => {
      const { replayDeadLetters } = await import('./event-dead-letters.ts')
      onExit(await replayDeadLetters(io, { ids, rule: words.rule, all: words.all === true, ...optionsOf(words) }))
    })
}

function destinationOf({ url, description, secretFrom }: DestinationWords) {
  return { url, description, secretFrom }
}

function optionsOf({ json, endpointUrl, region, profile }: EventsWords) {
  return { json: json === true, endpointUrl, region, profile }
}
