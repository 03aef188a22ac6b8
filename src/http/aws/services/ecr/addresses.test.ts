import { describe, expect, it } from 'vitest'
import { parseAccountId, parseRegion } from '../../../../values/index.ts'
import { createAddresses, type Addressed } from './addresses.ts'

const registry = { accountId: parseAccountId('111122223333'), region: parseRegion('eu-west-1') }

const neighbour = parseAccountId('444455556666')

function asked(host: string, secure = false, actor = registry.accountId): Addressed {
  return { host, secure, context: { actor: { accountId: actor }, registry } }
}

describe('addresses', () => {
  it.each([
    [{}, asked('localhost:5050'), 'localhost:5050', 'http://localhost:5050'],
    [{}, asked('registry.example.com', true), 'registry.example.com', 'https://registry.example.com'],
    [{}, asked('[::1]:5050'), '[::1]:5050', 'http://[::1]:5050'],
    [{ publicUrl: 'https://r.example' }, asked('10.0.0.1:5050'), 'r.example', 'https://r.example'],
    [{ publicUrl: 'http://r.example:81' }, asked('r.example', true), 'r.example:81', 'http://r.example:81'],
    [
      { registryDomain: 'r.example' },
      asked('localhost:5050'),
      '111122223333.dkr.ecr.eu-west-1.r.example:5050',
      'http://111122223333.dkr.ecr.eu-west-1.r.example:5050',
    ],
    [
      { registryDomain: 'r.example' },
      asked('[::1]', true),
      '111122223333.dkr.ecr.eu-west-1.r.example',
      'https://111122223333.dkr.ecr.eu-west-1.r.example',
    ],
    [
      { registryDomain: 'r.example', publicUrl: 'https://r.example' },
      asked('localhost:5050'),
      '111122223333.dkr.ecr.eu-west-1.r.example',
      'https://111122223333.dkr.ecr.eu-west-1.r.example',
    ],
    // The host alone would lead the caller to its own account's registry.
    [
      {},
      asked('registry.example.com', true, neighbour),
      '111122223333.dkr.ecr.eu-west-1.registry.example.com',
      'https://111122223333.dkr.ecr.eu-west-1.registry.example.com',
    ],
    [
      {},
      asked('444455556666.dkr.ecr.eu-west-1.localhost:5050', false, neighbour),
      '111122223333.dkr.ecr.eu-west-1.localhost:5050',
      'http://111122223333.dkr.ecr.eu-west-1.localhost:5050',
    ],
  ])('with %j and a request to %j', (settings, call, host, endpoint) => {
    const addresses = createAddresses(settings)

    expect(addresses.repositoryHost(call)).toBe(host)
    expect(addresses.proxyEndpoint(call)).toBe(endpoint)
  })
  it('of another account are named beside the own, and links go where the client already is', () => {
    const call = asked('registry.example.com', true)

    expect(createAddresses({}).proxyEndpoint(call, neighbour)).toBe('https://444455556666.dkr.ecr.eu-west-1.registry.example.com')
    expect(createAddresses({}).linkOrigin(asked('registry.example.com', true, neighbour))).toBe('https://registry.example.com')
  })
})
