import type { Session } from '../storage/metadata/session.ts'
import { findAssumableRole } from '../storage/metadata/stores/session-store.ts'
import { arnParts, parseArn } from '../values/index.ts'
import type { Principal } from './principal.ts'

/**
 * A role as a service of AWS uses it, for a setting that names one: nobody gets credentials of it, and what the service does
 * in its name is what the role may do now. Undefined where there is no such role, or its trust policy does not let the service
 * assume it without conditions, which are about requests that are not made here.
 *
 * @param roleArn as `parseArn` takes it
 * @param service such as `ecr.amazonaws.com`
 */
export async function serviceRole(session: Session, roleArn: string, service: string): Promise<Principal | undefined> {
  const { accountId, resource } = arnParts(parseArn(roleArn))
  const [, path = '', name = ''] = /^role(\/(?:.*\/)?)([^/]+)$/.exec(resource) ?? []
  if (accountId === undefined || accountId === 'aws' || name === '') return undefined
  const row = await findAssumableRole(session, accountId, name)
  // Names are one whatever their case, ARNs are not.
  if (row?.name !== name || row.path !== path || !trusts(row.trust_policy, service)) return undefined
  return {
    arn: `arn:aws:sts::${accountId}:assumed-role/${name}/${service}`,
    accountId,
    kind: 'assumed-role',
    userId: `${row.unique_id}:${service}`,
    accessKeyId: '',
    identity: { kind: 'role', id: row.id },
  }
}

interface TrustStatement {
  readonly Effect: 'Allow' | 'Deny'
  readonly Principal?: { readonly Service?: string | readonly string[] } | '*'
  readonly Action?: string | readonly string[]
  readonly Condition?: object
}

/** A trust policy that is stored has passed the grammar. A denial counts whomever and whatever it is about: rather too often than not. */
function trusts(trustPolicy: string, service: string): boolean {
  const { Statement } = JSON.parse(trustPolicy) as { Statement: TrustStatement | readonly TrustStatement[] }
  const statements = [Statement].flat()
  if (statements.some(({ Effect }) => Effect === 'Deny')) return false
  return statements.some(({ Principal, Action, Condition }) => {
    const services = typeof Principal === 'object' ? [Principal.Service ?? []].flat() : []
    const actions = [Action ?? []].flat()
    return Condition === undefined && services.includes(service) && actions.some((action) => /^sts:(?:assumerole|\*)$/i.test(action))
  })
}
