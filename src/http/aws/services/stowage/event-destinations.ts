import type { EventDestination, EventDestinations } from '../../../../events/event-destinations.ts'
import { destinationArn } from '../../../../events/names.ts'
import { operation, type AwsCall, type AwsOperation } from '../../service.ts'
import { boolean, required, simplePattern, string, structure } from '../../shapes.ts'
import type { PageTokens } from '../ecr/page-token.ts'
import { nextToken as nextTokenShape } from '../ecr/shapes.ts'
import * as shapes from './shapes.ts'

const destinationName = required(string({ min: 1, max: 64, pattern: simplePattern(/^[.\-_A-Za-z0-9]+$/, '[\\.\\-_A-Za-z0-9]+') }))
/** What is wrong with them is told by whoever reads them. */
const url = string({ max: 4096 })
const secret = string({ max: 256 })
const description = string({ max: 512 })

/** Webhooks, to whose ARNs the targets of rules send events. */
export function eventDestinationOperations({ destinations, pageTokens }: { readonly destinations: EventDestinations; readonly pageTokens: PageTokens }): Record<string, AwsOperation> {
  const resource = ({ destinationName: name }: { readonly destinationName: string }, { context }: AwsCall): string => destinationArn(context.registry, name)
  return {
    CreateEventDestination: operation({
      action: 'stowage:CreateEventDestination',
      resource,
      input: structure({ destinationName, url: required(url), description, secret }),
      async handler(call, input) {
        return shown(call, await destinations.create(call.context, { name: input.destinationName, url: input.url, description: input.description, secret: input.secret }))
      },
    }),

    UpdateEventDestination: operation({
      action: 'stowage:UpdateEventDestination',
      resource,
      input: structure({ destinationName, url, description, secret, newSecret: boolean() }),
      async handler(call, input) {
        const { destinationName: name, url: newUrl, description: newDescription, secret: newValue, newSecret = false } = input
        return shown(call, await destinations.update(call.context, { name, url: newUrl, description: newDescription, secret: newValue, newSecret }))
      },
    }),

    DeleteEventDestination: operation({
      action: 'stowage:DeleteEventDestination',
      resource,
      input: structure({ destinationName }),
      async handler({ context }, input) {
        await destinations.delete(context, input.destinationName)
        return {}
      },
    }),

    ListEventDestinations: operation({
      action: 'stowage:ListEventDestinations',
      resource: (_, { context }) => destinationArn(context.registry, '*'),
      input: structure({ nextToken: nextTokenShape, maxResults: shapes.maxResults }),
      async handler(call, { nextToken, maxResults }) {
        const list = ['ListEventDestinations', call.context.registry.id]
        const { items, next } = await destinations.list(call.context, { limit: maxResults ?? shapes.defaultPageSize, after: pageTokens.read(list, nextToken) })
        return { destinations: items.map((each) => shown(call, each)), nextToken: pageTokens.issue(list, next) }
      },
    }),
  }
}

function shown({ context }: AwsCall, { name, url: address, description: text, createdAt, createdBy, secret: shownOnce }: EventDestination) {
  return {
    destinationName: name,
    destinationArn: destinationArn(context.registry, name),
    url: address,
    description: text ?? undefined,
    createdAt: new Date(createdAt),
    createdBy,
    secret: shownOnce,
  }
}
