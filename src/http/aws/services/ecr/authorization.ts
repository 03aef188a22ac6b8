import { ecrTokenLifetimeMs, issueEcrToken, type Keyring } from '../../../../iam/index.ts'
import type { Clock } from '../../../../internal/clock.ts'
import { parseAccountId } from '../../../../values/index.ts'
import { operation, type AwsOperation } from '../../service.ts'
import { structure } from '../../shapes.ts'
import type { Addresses } from './addresses.ts'
import { registryIds } from './shapes.ts'

/** The user name that goes with every token; it names nobody. */
const tokenUser = 'AWS'

/** What docker logs in with. */
export function authorizationOperations(deps: {
  readonly keyring: Keyring
  readonly clock: Clock
  readonly addresses: Addresses
}): Record<string, AwsOperation> {
  const { keyring, clock, addresses } = deps
  return {
    GetAuthorizationToken: operation({
      action: 'ecr:GetAuthorizationToken',
      resource: () => '*',
      input: structure({ registryIds }),
      async handler(call, input) {
        const { actor, registry } = call.context
        const ids = [...new Set(input.registryIds ?? [registry.accountId])]
        const issuedAt = clock.now()
        // The password names the access key it came from, and is worth nothing when that has ended.
        const expiresAt = Math.min(issuedAt + ecrTokenLifetimeMs, actor.session?.expiresAt ?? Number.POSITIVE_INFINITY)
        const password = issueEcrToken(keyring, { principal: actor, region: registry.region, issuedAt, expiresAt })
        return {
          // A token opens no more than its owner may do, and an address says nothing of who has something there.
          authorizationData: ids.map((registryId) => ({
            authorizationToken: Buffer.from(`${tokenUser}:${password}`).toString('base64'),
            expiresAt: new Date(expiresAt),
            proxyEndpoint: addresses.proxyEndpoint(call, parseAccountId(registryId)),
          })),
        }
      },
    }),
  }
}
