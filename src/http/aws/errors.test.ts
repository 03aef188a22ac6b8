import { describe, expect, it } from 'vitest'
import { PlatformError } from '../../internal/platform-error.ts'
import { AwsError, awsErrors, toAwsError, unexpectedError } from './errors.ts'

const facts = { registryId: '123456789012', repositoryName: 'app', uploadId: 'u' }

function messageOf(code: string, detail: Record<string, unknown> = {}): string | undefined {
  return toAwsError(new PlatformError(code, 'own words', { detail }), { names: 'json', facts })?.message
}

describe('domain errors', () => {
  it.each(Object.keys(awsErrors))('%s has an answer in both protocols', (code) => {
    for (const names of ['json', 'query'] as const) {
      const answer = toAwsError(new PlatformError(code, 'own words'), { names })

      expect(answer?.status).toBeGreaterThanOrEqual(400)
      expect(answer?.type).toMatch(/^[A-Z][A-Za-z]+$/)
      expect(answer?.message).not.toBe('')
      expect(answer?.message).not.toContain('undefined')
    }
  })

  it.each([
    ['repository-unknown', {}, "The repository with name 'app' does not exist in the registry with id '123456789012'"],
    ['repository-unknown', { repositoryName: 'other' }, "The repository with name 'other' does not exist in the registry with id '123456789012'"],
    ['tag-unknown', { tag: 'v1' }, "The image with imageId {imageDigest:'null', imageTag:'v1'} does not exist within the repository with name 'app' in the registry with id '123456789012'"],
    ['manifest-unknown', {}, 'own words'],
    ['tag-immutable', { tag: 'v1' }, "The image tag 'v1' already exists in the 'app' repository and cannot be overwritten because the tag is immutable."],
    ['manifest-referenced', { by: ['sha256:a', 'sha256:b'] }, 'Requested image referenced by manifest list: [sha256:a, sha256:b]'],
    ['parameter-invalid', { field: 'PolicyText', constraint: 'Invalid JSON syntax' }, "Invalid parameter at 'PolicyText' failed to satisfy constraint: 'Invalid JSON syntax'"],
    ['parameter-invalid', {}, 'own words'],
    ['tag-immutable', { tag: { odd: true } }, 'own words'],
  ])('%s with %j', (code, detail, message) => {
    expect(messageOf(code, detail)).toBe(message)
  })

  it.each(['storage-full', 'storage-unavailable', 'blob-missing', 'blob-corrupt', 'manifest-corrupt'])('%s keeps what happened inside to itself', (code) => {
    expect(messageOf(code)).not.toContain('own words')
  })

  it('can be answered otherwise by an operation', () => {
    const errors = { 'digest-mismatch': { type: 'InvalidLayerException', status: 400 } }

    expect(toAwsError(new PlatformError('digest-mismatch', 'no'), { names: 'json', errors })?.type).toBe('InvalidLayerException')
    expect(toAwsError(new PlatformError('digest-mismatch', 'no'), { names: 'json' })?.type).toBe('ImageDigestDoesNotMatchException')
  })
})

describe('other errors', () => {
  it('that an operation words itself stay as they are', () => {
    const error = new AwsError('ScanNotFoundException', 'none')

    expect(toAwsError(error, { names: 'json' })).toBe(error)
  })

  it('that nobody expected are told apart', () => {
    expect(toAwsError(new Error('bug'), { names: 'json' })).toBeUndefined()
    expect(toAwsError(new PlatformError('constructor', 'no code of ours'), { names: 'json' })).toBeUndefined()
    expect(unexpectedError({ names: 'json' }, new Error('bug'))).toMatchObject({ type: 'ServerException', status: 500 })
    expect(unexpectedError({ names: 'query' }, new Error('bug'))).toMatchObject({ type: 'InternalFailure', status: 500 })
    const ofIam = { names: 'query', serverFault: 'ServiceFailure' } as const
    expect(unexpectedError(ofIam, new Error('bug'))).toMatchObject({ type: 'ServiceFailure', status: 500 })
    expect(toAwsError(new PlatformError('blob-corrupt', 'own words'), ofIam)).toMatchObject({ type: 'ServiceFailure', status: 500 })
    expect(toAwsError(new PlatformError('storage-unavailable', ''), ofIam)).toMatchObject({ type: 'ServiceUnavailable', status: 503 })
  })
})
