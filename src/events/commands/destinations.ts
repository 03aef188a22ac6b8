import { shownAddress } from '../../internal/outbound/shown-address.ts'
import { registryForChange } from '../../registry/commands/registries.ts'
import { defineCommand, type CommandContext } from '../../storage/metadata/command.ts'
import type { Session } from '../../storage/metadata/session.ts'
import { recordAudit } from '../../storage/metadata/stores/change-log.ts'
import {
  deleteEventDestination,
  findEventDestination,
  insertEventDestination,
  listEventDestinations,
  targetsOfDestination,
  updateEventDestination,
  type EventDestinationRow,
} from '../../storage/metadata/stores/event-rule-store.ts'
import { lockRegistryRow } from '../../storage/metadata/stores/repository-store.ts'
import { eventsError } from '../errors.ts'
import { destinationArn } from '../names.ts'

/** More than anybody has receivers. */
const mostDestinations = 100

/** Throws `event-destination-exists`, `event-limit-exceeded`. */
export const createDestination = defineCommand({
  name: 'create-event-destination',
  durability: 'durable',
  async run(tx, input: { name: string; url: string; description: string | null; secretSealed: string }, context): Promise<void> {
    const registryId = await registryForChange(tx, context)
    await lockRegistryRow(tx, registryId)
    const { name, url, description, secretSealed } = input
    if ((await findEventDestination(tx, registryId, name)) !== undefined) {
      throw eventsError('event-destination-exists', `There already is an event destination with name '${name}'.`)
    }
    if ((await listEventDestinations(tx, registryId, '', mostDestinations)).length >= mostDestinations) {
      throw eventsError('event-limit-exceeded', `There are ${mostDestinations} event destinations already, which is the most there may be.`)
    }
    await insertEventDestination(tx, { registryId, name, url, description, secretSealed, now: context.nowMs, by: context.actorArn })
    await audit(tx, context, 'CreateEventDestination', name, { url: shownAddress(url) })
  },
})

/** What is undefined stays. Throws `event-resource-unknown`. */
export const updateDestination = defineCommand({
  name: 'update-event-destination',
  durability: 'durable',
  async run(tx, input: { name: string; url?: string | undefined; description?: string | undefined; secretSealed?: string | undefined }, context): Promise<EventDestinationRow> {
    const row = await lockDestination(tx, context, input.name)
    const changed = {
      ...row,
      url: input.url ?? row.url,
      description: input.description ?? row.description,
      secretSealed: input.secretSealed ?? row.secretSealed,
    }
    await updateEventDestination(tx, changed)
    await audit(tx, context, 'UpdateEventDestination', input.name, { url: shownAddress(changed.url), isSecretNew: input.secretSealed !== undefined })
    return changed
  },
})

/** Throws `event-resource-unknown`, `event-destination-in-use`. */
export const deleteDestination = defineCommand({
  name: 'delete-event-destination',
  durability: 'durable',
  async run(tx, input: { name: string }, context): Promise<void> {
    const { id, name } = await lockDestination(tx, context, input.name)
    const [use] = await targetsOfDestination(tx, id, 1)
    if (use !== undefined) {
      throw eventsError('event-destination-in-use', `The target '${use.targetName}' of the rule '${use.ruleName}' sends to the event destination '${name}': remove it first.`)
    }
    await deleteEventDestination(tx, id)
    await audit(tx, context, 'DeleteEventDestination', name, {})
  },
})

export function destinationUnknown(name: string): Error {
  return eventsError('event-resource-unknown', `There is no event destination with name '${name}'.`)
}

async function lockDestination(tx: Session, context: CommandContext, name: string): Promise<EventDestinationRow> {
  if (context.registryId === 0) throw destinationUnknown(name)
  await lockRegistryRow(tx, context.registryId)
  const row = await findEventDestination(tx, context.registryId, name)
  if (row === undefined) throw destinationUnknown(name)
  return row
}

function audit(tx: Session, context: CommandContext, action: string, name: string, detail: Readonly<Record<string, unknown>>): Promise<void> {
  return recordAudit(tx, context, { action, resource: destinationArn(context, name), detail: { name, ...detail } })
}
