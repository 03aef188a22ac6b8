import type { EventRules } from '../../../../events/event-rules.ts'
import type { Keyring } from '../../../../iam/index.ts'
import type { AwsService } from '../../service.ts'
import { validationError } from '../../shapes.ts'
import { PageTokens } from '../ecr/page-token.ts'
import { ruleOperations } from './rules.ts'
import { targetOperations } from './targets.ts'

/**
 * EventBridge's rules and targets on the default bus, on which everything is told that happens in a registry: see
 * docs/operations/events.md. Webhooks, which are the targets, are made by the service `Stowage`.
 */
export function createEventsService({ rules, keyring }: { readonly rules: EventRules; readonly keyring: Keyring }): AwsService {
  const pageTokens = new PageTokens(keyring)
  return {
    name: 'events',
    settingsName: 'eventbridge',
    protocol: 'json',
    signingName: 'events',
    targetPrefix: 'AWSEvents',
    operations: { ...ruleOperations({ rules, pageTokens }), ...targetOperations({ rules, pageTokens }) },
    serverFault: 'InternalException',
    invalidInput: validationError('ValidationException'),
  }
}
