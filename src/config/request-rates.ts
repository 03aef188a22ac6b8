/** The calls that ECR counts, each for itself. */
export const ratedCalls = [
  'GetAuthorizationToken',
  'BatchCheckLayerAvailability',
  'InitiateLayerUpload',
  'UploadLayerPart',
  'CompleteLayerUpload',
  'PutImage',
  'BatchGetImage',
  'GetDownloadUrlForLayer',
] as const

export type RatedCall = (typeof ratedCalls)[number]

/** Calls a second that a registry takes of each kind; one that is not named is not counted. */
export type RequestRates = Readonly<Partial<Record<RatedCall, number>>>

/** ECR's own (user guide, "Amazon ECR service quotas"). */
export const ecrRequestRates: Readonly<Record<RatedCall, number>> = {
  GetAuthorizationToken: 500,
  BatchCheckLayerAvailability: 1000,
  InitiateLayerUpload: 100,
  UploadLayerPart: 500,
  CompleteLayerUpload: 100,
  PutImage: 10,
  BatchGetImage: 2000,
  GetDownloadUrlForLayer: 3000,
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
