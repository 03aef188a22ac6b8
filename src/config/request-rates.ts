/** The calls of which Amazon ECR counts how many there are, and that it throttles each for itself. */
export const countedEcrCalls = [
  'GetAuthorizationToken',
  'BatchCheckLayerAvailability',
  'InitiateLayerUpload',
  'UploadLayerPart',
  'CompleteLayerUpload',
  'PutImage',
  'BatchGetImage',
  'GetDownloadUrlForLayer',
] as const

/** The calls that may have rates, each for itself: those of ECR, and the one of STS that anybody may make. */
export const ratedCalls = [...countedEcrCalls, 'AssumeRoleWithWebIdentity'] as const

export type RatedCall = (typeof ratedCalls)[number]

/** Calls a second that a registry takes of each kind; one that is not named is not counted. */
export type RequestRates = Readonly<Partial<Record<RatedCall, number>>>

/** ECR's own (user guide, "Amazon ECR service quotas"). */
export const ecrRequestRates: Readonly<Record<Exclude<RatedCall, 'AssumeRoleWithWebIdentity'>, number>> = {
  GetAuthorizationToken: 500,
  BatchCheckLayerAvailability: 1000,
  InitiateLayerUpload: 100,
  UploadLayerPart: 500,
  CompleteLayerUpload: 100,
  PutImage: 10,
  BatchGetImage: 2000,
  GetDownloadUrlForLayer: 3000,
}

/** Of a rate, what one source may have: whoever names an account does not take all that the account's own builds have. */
const partOfSource = 4

/** The rates of one source, of calls that anybody may make. */
export function ratesOfSource(rates: RequestRates): RequestRates {
  return Object.fromEntries(Object.entries(rates).map(([call, rate]) => [call, Math.ceil(rate / partOfSource)]))
}

/** `ecr`, calls with their rates such as `PutImage=50`, or both, separated by commas; a later one wins. Undefined for any other text. */
export function parseRequestRates(text: string): RequestRates | undefined {
  const rates: Partial<Record<RatedCall, number>> = {}
  for (const part of text.split(',').map((piece) => piece.trim())) {
    if (part === 'ecr') {
      Object.assign(rates, ecrRequestRates)
      continue
    }
    const [, name = '', digits = ''] = /^([A-Za-z]+)=(\d{1,7})$/u.exec(part) ?? []
    const call = ratedCalls.find((candidate) => candidate === name)
    if (call === undefined || Number(digits) === 0) return undefined
    rates[call] = Number(digits)
  }
  return rates
}
