import { describe, expect, it } from 'vitest'
import { digestOf } from '../support/images.ts'
import { errorCodeOf, onEveryDatabase } from './registry-under-test.ts'

const digest = digestOf(Buffer.from('x'))
const account = '000000000000'
const upload = '/v2/app/blobs/uploads/7f1f9a0e-8f0c-4f7e-9f43-5a2c8b6d1e00'

onEveryDatabase((registry) => {
  const headers = (region = 'invented-1', accountId = account) => ({ host: `${accountId}.dkr.ecr.${region}.localhost:5000` })

  describe('a region that nobody used', () => {
    it.each([
      ['GET', '/v2/app/tags/list'],
      ['GET', '/v2/app/manifests/latest'],
      ['PUT', '/v2/app/manifests/latest'],
      ['DELETE', '/v2/app/manifests/latest'],
      ['GET', `/v2/app/blobs/${digest}`],
      ['DELETE', `/v2/app/blobs/${digest}`],
      ['POST', '/v2/app/blobs/uploads/'],
      ['POST', `/v2/app/blobs/uploads/?mount=${digest}&from=other`],
      ['POST', `/v2/app/blobs/uploads/?digest=${digest}`],
      ['GET', upload],
      ['PATCH', upload],
      ['PUT', `${upload}?digest=${digest}`],
      ['DELETE', upload],
      ['GET', `/v2/app/referrers/${digest}`],
    ])('has no repository for %s %s', async (method, path) => {
      const { client } = registry()
      const body = method === 'PUT' || method === 'POST' || method === 'PATCH' ? { body: '{"schemaVersion":2,"manifests":[]}' } : {}

      const answer = await client.request(method, path, { headers: headers(), ...body })

      expect([answer.status, errorCodeOf(answer)]).toEqual([404, 'NAME_UNKNOWN'])
    })

    it('lists nothing, and nothing is written for those who ask', async () => {
      const { client, platform } = registry()
      const { database } = platform.platform.counters
      const before = database.commits

      const catalog = await client.request('GET', '/v2/_catalog', { headers: headers('invented-2') })
      const pull = await client.request('GET', '/v2/app/manifests/latest', { headers: headers('invented-2') })

      expect([catalog.status, catalog.json()]).toEqual([200, { repositories: [] }])
      expect(pull.status).toBe(404)
      expect(database.commits).toBe(before)
    })

    it('of another account is denied as any other', async () => {
      const { client } = registry()

      const refused = await client.request('GET', '/v2/app/tags/list', { headers: headers('invented-1', '123456789012') })

      expect([refused.status, errorCodeOf(refused)]).toEqual([403, 'DENIED'])
    })
  })
  // The sealer removes what it has from the metadata, a moment after whatever test came before.
}, { STOWAGE_AUDIT: 'off' })
