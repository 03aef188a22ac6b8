import { expect, it } from 'vitest'
import { recordedInput, recordedOutput } from './recorded-values.ts'

it('keeps what was asked for, and nothing that opens a door', () => {
  const input = {
    repositoryName: 'team/app',
    secretAccessKey: 'hidden',
    NextToken: 'hidden',
    imageManifest: '{}',
    layerPartBlob: new Uint8Array(3),
    bytes: new Uint8Array(3),
    filter: { Password: 'hidden', tagStatus: 'TAGGED' },
  }
  expect(recordedInput(input)).toEqual({ repositoryName: 'team/app', bytes: '…', filter: { tagStatus: 'TAGGED' } })
})

it('keeps of a webhook only where it leads, of an identity provider its whole name', () => {
  const input = { destinationName: 'hook', url: 'https://user:hidden@hooks.example.com:8443/services/hidden?key=hidden' }
  expect(recordedInput(input)).toEqual({ destinationName: 'hook', url: 'https://hooks.example.com:8443' })
  expect(recordedInput({ url: 'hidden' })).toEqual({ url: '…' })
  expect(recordedInput({ url: 'data:text/plain,hidden' })).toEqual({ url: '…' })
  expect(recordedInput({ Url: 'https://issuer.example.com/realms/one' })).toEqual({ Url: 'https://issuer.example.com/realms/one' })
})

it('keeps a bounded part of what is long, wide or deep', () => {
  const deep = { a: { a: { a: { a: { a: { a: 'x' } } } } } }
  const input = { text: 'x'.repeat(5000), list: Array.from({ length: 100 }, (_, n) => n), deep, ...Object.fromEntries(Array.from({ length: 100 }, (_, n) => [`m${n}`, 'x'.repeat(500)])) }
  expect(JSON.stringify(recordedInput(input)).length).toBeLessThan(6000)
})

it('keeps of an output what it names alone', () => {
  expect(recordedOutput({ image: { imageId: { imageTag: 'v1' }, imageManifest: '{}' }, secret: 'hidden', AccessKey: { SecretAccessKey: 'hidden' } })).toEqual({ image: { imageId: { imageTag: 'v1' } } })
  expect(recordedOutput({ credentials: 'hidden' })).toBeUndefined()
})
