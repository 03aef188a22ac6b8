import { ratedCalls } from '../../config/request-rates.ts'
import type { AdmissionRule } from '../admission.ts'

const uncounted: AdmissionRule = { calls: [], pace: 'server' }

const ofEcr = new Map<string, AdmissionRule>(ratedCalls.map((call) => [call, { calls: [call], pace: 'server' }]))

/** By the time that an operation runs its whole body is there, so that all of them go at the server's pace. */
export function admissionRule(serviceName: string, operationName: string | undefined): AdmissionRule {
  return (serviceName === 'ecr' ? ofEcr.get(operationName ?? '') : undefined) ?? uncounted
}
