import { PlatformError, type ErrorDetail } from '../internal/platform-error.ts'

/**
 * What can be said against a call about events:
 * - `event-pattern-invalid`: the text is no pattern; the message says why, in EventBridge's form.
 * - `event-input-invalid`: a setting of a rule or a target that is none, or that is not here.
 * - `event-resource-unknown`: there is no such bus, rule, target or destination.
 * - `event-destination-exists`, `event-destination-in-use`: a name that is taken; targets still send there.
 * - `event-limit-exceeded`: there are as many as there may be.
 */
export type EventsErrorCode =
  | 'event-pattern-invalid'
  | 'event-input-invalid'
  | 'event-resource-unknown'
  | 'event-destination-exists'
  | 'event-destination-in-use'
  | 'event-limit-exceeded'

export function eventsError(code: EventsErrorCode, message: string, detail?: ErrorDetail): PlatformError<EventsErrorCode> {
  return new PlatformError(code, message, { detail })
}
