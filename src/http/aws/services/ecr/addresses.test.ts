import { describe, expect, it } from 'vitest'
import { parseAccountId, parseRegion } from '../../../../values/index.ts'
import { createAddresses, type Addressed } from './addresses.ts'

const registry = { accountId: parseAccountId('111122223333'), region: parseRegion('eu-west-1') }

function asked(host: string, secure = false): Addressed {
  return { host, secure, context: { registry } }
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
  ])('with %j and a request to %j', (settings, call, host, endpoint) => {
    const addresses = createAddresses(settings)

    expect(addresses.repositoryHost(call)).toBe(host)
    expect(addresses.proxyEndpoint(call)).toBe(endpoint)
  })
})
