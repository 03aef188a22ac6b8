import type { Clock } from '../internal/clock.ts'
import type { Principal } from '../iam/principal.ts'
import type { CommandContext, NewRegistryRule } from '../storage/metadata/command.ts'
import type { AccountId, Region } from '../values/account.ts'

/** A registry is an account in a region; every repository belongs to exactly one. */
export interface RegistryRef {
  /** 0 for a registry in which nothing was made yet: every look-up by it finds nothing. */
  readonly id: number
  readonly accountId: AccountId
  readonly region: Region
  /** With id 0: whether something may be made in it. */
  readonly newRegistry?: NewRegistryRule
}

/** Which door a request came through. */
export type Protocol = 'oci' | 'ecr' | 'sts' | 'iam' | 'cloudtrail' | 'events' | 'logs' | 'monitoring' | 'stowage' | 'system'

/** Who asks, where, and when: a parameter of every registry operation. */
export interface RequestContext {
  readonly actor: Principal
  readonly registry: RegistryRef
  readonly requestId: string
  readonly sourceIp: string
  readonly userAgent: string
  readonly protocol: Protocol
  readonly clock: Clock
}

/** Who acts when the server does something by itself. */
export const systemActorArn = 'arn:aws:iam::stowage:system'

/** What of a request goes into a write command. */
export function commandContext(context: RequestContext): CommandContext {
  return {
    nowMs: context.clock.now(),
    actorArn: context.actor.arn,
    registryId: context.registry.id,
    accountId: context.registry.accountId,
    region: context.registry.region,
    newRegistry: context.registry.newRegistry,
    requestId: context.requestId,
    sourceIp: context.sourceIp,
    userAgent: context.userAgent,
    protocol: context.protocol,
  }
}
