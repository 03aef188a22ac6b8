import { hash, timingSafeEqual } from 'node:crypto'
import { newAccessKeyPair } from '../internal/access-key-pair.ts'
import type { IdSource } from '../internal/ids.ts'
import { isPlatformError } from '../internal/platform-error.ts'
import type { CommandContext } from '../storage/metadata/command.ts'
import type { MetadataDatabase } from '../storage/metadata/database.ts'
import { holdsEndedSessions, type LivingSession } from '../storage/metadata/stores/session-store.ts'
import type { AccountId } from '../values/index.ts'
import { createSession, sweepSessions } from './commands/sessions.ts'
import { iamError } from './errors.ts'
import type { Keyring } from './keyring.ts'
import type { Principal, PrincipalKind, PrincipalSession } from './principal.ts'

/** Temporary credentials in the clear, as they are handed out once: never logged, never stored so. */
export interface TemporaryCredentials {
  readonly accessKeyId: string
  readonly secretAccessKey: string
  readonly sessionToken: string
  /** Milliseconds since the Unix epoch. */
  readonly expiresAt: number
}

export interface SessionDependencies {
  readonly database: MetadataDatabase
  readonly keyring: Keyring
  readonly ids: IdSource
  /** Of an account: those that have not ended, and those that ended a moment ago. */
  readonly maxSessions: number
}

/** Whom new temporary credentials stand for, and what bounds them. */
export interface NewSession {
  /** The call that asked for them, such as `AssumeRole`, and what it was about: for the audit record. */
  readonly action: string
  readonly resource: string
  readonly principal: Pick<Principal, 'arn' | 'accountId' | 'kind' | 'userId' | 'identity'>
  readonly durationSeconds: number
  /** What the session token has at least, in bytes: for callers that want to see that long ones pass. Absent: no matter. */
  readonly minimumTokenBytes?: number | undefined
  readonly session: Omit<PrincipalSession, 'issuedAt' | 'expiresAt'>
}

const tokenPurpose = 'session-token'

/** What the secret of an access key is sealed for; the same for lasting and temporary ones. */
export const secretPurpose = (accessKeyId: string): string => `access-key:${accessKeyId}`

/** True for access key ids of the form that temporary credentials have. */
export function isTemporaryKeyId(accessKeyId: string): boolean {
  return accessKeyId.startsWith('ASIA')
}

/**
 * Begins temporary credentials. The session token is random, and only its hash is kept.
 *
 * @throws `access-denied` where the role or user is gone by now, `too-many-sessions` where its account has `maxSessions`
 */
export async function beginSession(
  deps: SessionDependencies,
  wanted: NewSession,
  context: CommandContext,
): Promise<TemporaryCredentials> {
  const { database, keyring, ids } = deps
  const { principal, session } = wanted
  const { accessKeyId, secretAccessKey } = newAccessKeyPair('ASIA', ids)
  const issuedAt = context.nowMs
  const expiresAt = issuedAt + wanted.durationSeconds * 1000
  const sessionToken = sealToken(keyring, [accessKeyId, expiresAt], wanted.minimumTokenBytes ?? 0)
  const began = await database.execute(
    createSession,
    {
      action: wanted.action,
      resource: wanted.resource,
      maxSessions: deps.maxSessions,
      session: {
        access_key_id: accessKeyId,
        account_id: principal.accountId,
        principal_arn: principal.arn,
        principal_kind: principal.kind,
        principal_user_id: principal.userId,
        user_id: principal.identity?.kind === 'user' ? principal.identity.id : null,
        role_id: principal.identity?.kind === 'role' ? principal.identity.id : null,
        secret_sealed: keyring.seal(Buffer.from(secretAccessKey), secretPurpose(accessKeyId)),
        token_sha256: hash('sha256', sessionToken, 'buffer'),
        policies: JSON.stringify(session.policies),
        tags: JSON.stringify(session.tags),
        transitive_tag_keys: JSON.stringify(session.transitiveTagKeys),
        source_identity: session.sourceIdentity ?? null,
        provider: session.provider ?? null,
        context: JSON.stringify(session.context),
        issued_at: issuedAt,
        expires_at: expiresAt,
      },
    },
    context,
  )
  if (began === 'gone') throw iamError('access-denied', `${principal.arn} does not exist any more.`)
  if (began === 'full') {
    throw iamError(
      'too-many-sessions',
      `Rate exceeded: the account ${principal.accountId} has ${deps.maxSessions} temporary credentials that have not ended, and may not have more.`,
    )
  }
  return { accessKeyId, secretAccessKey, sessionToken, expiresAt }
}

/** Sealing writes three bytes as four; what is missing is filled up with blanks, which come to nothing. */
function sealToken(keyring: Keyring, claims: readonly unknown[], minimumBytes: number): string {
  const text = JSON.stringify(claims)
  const token = keyring.seal(Buffer.from(text), tokenPurpose)
  const missing = minimumBytes - token.length
  return missing <= 0 ? token : keyring.seal(Buffer.from(text + ' '.repeat(Math.ceil((missing * 3) / 4))), tokenPurpose)
}

/** Who temporary credentials stand for, ended or not. */
export function sessionPrincipal(row: LivingSession): Principal {
  const accountId = row.account_id as AccountId
  // A user's name may have changed since; its policies and its ARN are today's.
  const arn = row.user_name === null ? row.principal_arn : `arn:aws:iam::${accountId}:user${row.user_path ?? '/'}${row.user_name}`
  const identity =
    row.role_id !== null
      ? ({ kind: 'role', id: row.role_id } as const)
      : row.user_id !== null
        ? ({ kind: 'user', id: row.user_id } as const)
        : undefined
  return {
    arn,
    accountId,
    kind: row.principal_kind as PrincipalKind,
    userId: row.principal_user_id,
    accessKeyId: row.access_key_id,
    identity,
    session: {
      issuedAt: row.issued_at,
      expiresAt: row.expires_at,
      policies: JSON.parse(row.policies) as string[],
      tags: JSON.parse(row.tags) as Record<string, string>,
      transitiveTagKeys: JSON.parse(row.transitive_tag_keys) as string[],
      sourceIdentity: row.source_identity ?? undefined,
      provider: row.provider ?? undefined,
      context: JSON.parse(row.context) as Record<string, string | string[]>,
    },
  }
}

/** Whether a request shows the session token of its key: none for a lasting key, the right one for a temporary one. */
export function isTokenOfKey(given: string | undefined, expectedSha256: Uint8Array | undefined): boolean {
  if (given === undefined || expectedSha256 === undefined) return given === expectedSha256
  return timingSafeEqual(hash('sha256', given, 'buffer'), expectedSha256)
}

/** True for a token that this installation gave to that key and whose time is over: it cannot be guessed. */
export function isEndedSessionToken(keyring: Keyring, accessKeyId: string, token: string, now: number): boolean {
  if (!isTemporaryKeyId(accessKeyId) || token.length > longestToken) return false
  try {
    const [owner, expiresAt] = JSON.parse(keyring.unseal(token, tokenPurpose).toString()) as [string, number]
    return owner === accessKeyId && now >= expiresAt
  } catch (error) {
    if (isPlatformError(error, 'token-invalid')) return false
    throw error
  }
}

/** The longest session token that AWS gives out, and the most that a caller may ask for. */
export const maxSessionTokenBytes = 4096

/** Filling up goes a few bytes further than was asked. */
const longestToken = maxSessionTokenBytes + 8

/**
 * How long ended sessions stay: servers whose clocks differ may still serve them, and an ended one is answered as
 * expired whether its row is there or not.
 */
const sweepDelayMs = 5 * 60 * 1000
const sweepBatchSize = 500
/** A round ends after these, so that other writes get their turn. */
const mostBatches = 20

/** Removes what ended a while ago; answers how many. Nothing is written where there is nothing to remove. */
export async function removeEndedSessions(database: MetadataDatabase, context: CommandContext): Promise<number> {
  const before = context.nowMs - sweepDelayMs
  let removed = 0
  for (let batch = 0; batch < mostBatches; batch += 1) {
    if (!(await holdsEndedSessions(database.reader, before))) break
    removed += await database.execute(sweepSessions, { before, limit: sweepBatchSize }, context)
  }
  return removed
}
