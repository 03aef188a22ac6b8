import type { PlatformError } from '../../internal/platform-error.ts'
import { lifecycleError, type LifecycleErrorCode } from '../errors.ts'

/**
 * A policy that ECR refuses, in its words. The texts that begin with "object", "instance", "numeric", "array" and "string" are
 * those of the JSON schema validator that ECR uses.
 *
 * @param hint said behind ECR's text, so that what looks for that finds it
 */
export function ecrRefusal(reason: string, hint?: string): PlatformError<LifecycleErrorCode> {
  return parameterRefusal('LifecyclePolicyText', `Lifecycle policy validation failure: ${reason}`, reason, hint)
}

/** A text that is too short or too long: ECR writes the parameter's name in lower case here. */
export function lengthRefusal(constraint: string): PlatformError<LifecycleErrorCode> {
  return parameterRefusal('lifecyclePolicyText', constraint, constraint)
}

function parameterRefusal(field: string, constraint: string, reason: string, hint?: string): PlatformError<LifecycleErrorCode> {
  const message = `Invalid parameter at '${field}' failed to satisfy constraint: '${constraint}'`
  return lifecycleError('policy-invalid', hint === undefined ? message : `${message} (${hint})`, { reason, hint })
}
