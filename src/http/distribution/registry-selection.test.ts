import { describe, expect, it } from 'vitest'
import { rootPrincipal } from '../../iam/index.ts'
import { parseAccountId, parseRegion } from '../../values/account.ts'
import { registryOfHost, selectRegistry } from './registry-selection.ts'

const account = parseAccountId('123456789012')
const region = (text: string) => parseRegion(text)

describe('registryOfHost', () => {
  it.each([
    ['123456789012.dkr.ecr.eu-west-1.example.com', undefined],
    ['123456789012.dkr.ecr.eu-west-1.example.com', 'example.com'],
    ['123456789012.DKR.ecr.EU-west-1.Example.com:5000', 'example.com'],
    ['123456789012.dkr.ecr.eu-west-1.localhost:5000', undefined],
  ])('%s with domain %s names a registry', (host, domain) => {
    expect(registryOfHost(host, domain)).toEqual({ accountId: account, region: 'eu-west-1' })
  })

  it.each([
    ['', undefined],
    ['localhost:5000', undefined],
    ['[::1]:5000', undefined],
    ['123456789012.dkr.ecr.eu-west-1', undefined],
    ['123456789012.dkr.ecr.eu-west-1.example.org', 'example.com'],
    ['123456789012.dkr.ecr.eu-west-1.evil.example.com', 'example.com'],
    ['12345.dkr.ecr.eu-west-1.example.com', undefined],
    ['123456789012.dkr.ecr.eu_west.example.com', undefined],
    ['123456789012.ecr.dkr.eu-west-1.example.com', undefined],
    [`123456789012.dkr.ecr.eu-west-1.${'a'.repeat(300)}`, undefined],
  ])('%.60s with domain %s names none', (host, domain) => {
    expect(registryOfHost(host, domain)).toBeUndefined()
  })
})

describe('selectRegistry', () => {
  const principal = rootPrincipal(account, 'AKIDEXAMPLE')
  const other = { accountId: parseAccountId('210987654321'), region: region('eu-west-1') }

  it('takes the registry of the host', () => {
    expect(selectRegistry(other, { principal, region: undefined }, region('us-east-1'))).toEqual(other)
    expect(selectRegistry(other, { principal, region: region('eu-west-1') }, region('us-east-1'))).toEqual(other)
  })

  it('takes the principal’s own in the region of the token', () => {
    expect(selectRegistry(undefined, { principal, region: region('ap-south-1') }, region('us-east-1'))).toEqual({
      accountId: account,
      region: 'ap-south-1',
    })
  })

  it('takes the default region for a login with an access key', () => {
    expect(selectRegistry(undefined, { principal, region: undefined }, region('us-east-1'))).toEqual({
      accountId: account,
      region: 'us-east-1',
    })
  })

  it('refuses a token of another region', () => {
    expect(() => selectRegistry(other, { principal, region: region('us-east-1') }, region('us-east-1'))).toThrow(
      expect.objectContaining({ code: 'token-region-mismatch' }),
    )
  })
})
