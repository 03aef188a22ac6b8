import { defineCommand } from '../../storage/metadata/command.ts'
import { recordAudit } from '../../storage/metadata/stores/change-log.ts'
import {
  deleteEndedSessions,
  holdRole,
  holdUser,
  insertStsSession,
  lockSessionCount,
  noteRoleUse,
  raiseSessionCount,
  recountSessions,
  type StsSessionRow,
} from '../../storage/metadata/stores/session-store.ts'

/** How often a full account's sessions are counted one by one before it is refused another. */
const recountIntervalMs = 60_000

/**
 * Begins temporary credentials. Answers `gone`, and changes nothing, where the role or user they are for is gone by now, and
 * `full` where its account has as many as it may. The IAM generation stays: nobody remembers that a key does not exist.
 */
export const createSession = defineCommand({
  name: 'create-session',
  durability: 'durable',
  async run(tx, input: { action: string; resource: string; session: StsSessionRow; maxSessions: number }, context): Promise<'begun' | 'gone' | 'full'> {
    const { session } = input
    if (session.role_id !== null && !(await holdRole(tx, session.role_id))) return 'gone'
    if (session.user_id !== null && !(await holdUser(tx, session.user_id))) return 'gone'
    const { sessions, countedAt } = await lockSessionCount(tx, session.account_id)
    if (sessions >= input.maxSessions) {
      // Not by the number alone, which may be too high where an earlier version swept.
      const isDue = context.nowMs >= countedAt + recountIntervalMs
      const counted = isDue ? await recountSessions(tx, session.account_id, context.nowMs) : sessions
      if (counted >= input.maxSessions) return 'full'
    }
    await insertStsSession(tx, session)
    await raiseSessionCount(tx, session.account_id)
    await recordAudit(tx, context, {
      action: input.action,
      resource: input.resource,
      detail: {
        accessKeyId: session.access_key_id,
        principal: session.principal_arn,
        expiresAt: session.expires_at,
        ...(session.source_identity !== null && { sourceIdentity: session.source_identity }),
        ...(session.provider !== null && { provider: session.provider }),
      },
    })
    return 'begun'
  },
})

/** Notes that a role is in use, unless that was noted since `unlessSince`. */
export const recordRoleUse = defineCommand({
  name: 'record-role-use',
  durability: 'process',
  run: (tx, input: { roleId: number; unlessSince: number }, context): Promise<void> =>
    noteRoleUse(tx, { id: input.roleId, now: context.nowMs, region: context.region, unlessSince: input.unlessSince }),
})

/** Removes temporary credentials that ended at or before a time, `limit` of them at most; answers how many. */
export const sweepSessions = defineCommand({
  name: 'sweep-sessions',
  // What a crash brings back is swept again.
  durability: 'process',
  run: (tx, input: { before: number; limit: number }): Promise<number> => deleteEndedSessions(tx, input.before, input.limit),
})
