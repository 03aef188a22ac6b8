import type { Entry, EntryTable } from './entry.ts'
import { homeAccount } from './places.ts'

/** A role that trusts both accounts of the matrix. */
export const trustingRole = 'matrix-trusting'

/** A role that trusts nobody who is here. */
export const distrustfulRole = 'matrix-distrustful'

export function roleArn(accountId: string, name: string): string {
  return `arn:aws:iam::${accountId}:role/${name}`
}

interface Call extends Pick<Entry, 'granted' | 'refuses' | 'takesAnonymous' | 'closedToOwnSessions'> {
  readonly needs?: readonly string[]
  readonly resource?: string
  readonly parameters?: Readonly<Record<string, string>>
}

function entry(operation: string, { parameters, ...call }: Call): Entry {
  return {
    subject: 'own account',
    needs: [`sts:${operation}`],
    resource: '*',
    ...call,
    request: () => ({ protocol: 'query', service: 'sts', parameters: { Action: operation, ...parameters } }),
  }
}

const assumed = (role: string): Record<string, string> => ({ RoleArn: roleArn(homeAccount, role), RoleSessionName: 'matrix' })

export const stsEntries: EntryTable = {
  // "No permissions are required to perform this operation", and none can be taken away.
  'sts:GetCallerIdentity': entry('GetCallerIdentity', { needs: [], granted: '200' }),
  'sts:GetSessionToken': entry('GetSessionToken', { needs: [], granted: '200', refuses: ({ isSession }) => isSession, closedToOwnSessions: true }),
  'sts:GetAccessKeyInfo': entry('GetAccessKeyInfo', {
    parameters: { AccessKeyId: 'AKIANOBODYNOBODYNOBO' },
    granted: 'ValidationError',
    closedToOwnSessions: true,
  }),
  'sts:AssumeRole': entry('AssumeRole', {
    parameters: assumed(trustingRole),
    resource: roleArn(homeAccount, trustingRole),
    granted: '200',
    // "Roles may not be assumed by root accounts."
    refuses: ({ isRoot }) => isRoot,
  }),
  'sts:AssumeRole without trust': entry('AssumeRole', {
    parameters: assumed(distrustfulRole),
    resource: roleArn(homeAccount, distrustfulRole),
    granted: 'AccessDenied',
    refuses: () => true,
  }),
  'sts:AssumeRoleWithWebIdentity': entry('AssumeRoleWithWebIdentity', {
    parameters: { ...assumed(trustingRole), WebIdentityToken: 'no.token.at.all' },
    needs: [],
    granted: 'InvalidIdentityToken',
    takesAnonymous: true,
  }),
}
