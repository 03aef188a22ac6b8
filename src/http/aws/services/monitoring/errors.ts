import { AwsError } from '../../errors.ts'

/**
 * CloudWatch's errors by the names of their shapes, and the codes that they have in the Query protocol and in the header
 * `x-amzn-query-error`, which clients of the newer protocols show. Those that are not here have one name.
 */
export const queryCodes: Readonly<Record<string, string>> = {
  InvalidParameterValueException: 'InvalidParameterValue',
  InvalidParameterCombinationException: 'InvalidParameterCombination',
  MissingRequiredParameterException: 'MissingParameter',
  InternalServiceFault: 'InternalServiceError',
  LimitExceededFault: 'LimitExceeded',
  InvalidFormatFault: 'InvalidFormat',
}

export function invalidValue(message: string): AwsError {
  return new AwsError('InvalidParameterValueException', message)
}

export function invalidCombination(message: string): AwsError {
  return new AwsError('InvalidParameterCombinationException', message)
}

export function missing(parameter: string): AwsError {
  return new AwsError('MissingRequiredParameterException', `The parameter ${parameter} is required.`)
}

/** Of GetMetricData, whose model has no error but one. */
export function validation(message: string): AwsError {
  return new AwsError('ValidationError', message)
}
