import type { Session } from '../storage/metadata/session.ts'
import { principalsNamed, principalsWithIds, type PrincipalRow } from '../storage/metadata/stores/principal-store.ts'
import { iamArn, type AccountId } from '../values/index.ts'
import { awsPrincipalEntry, type PrincipalEntry } from './policy/principals.ts'
import { awsPrincipalTexts, withAwsPrincipals } from './policy/principal-texts.ts'

/*
 * A policy of a resource, and a role's trust policy, names users and roles by ARN, and is kept with their unique ids: who is
 * given a name after somebody else is not meant by what was said of that one. Whoever reads the policy sees ARNs again, of
 * what is gone the bare id. IAM user guide, "AWS JSON policy elements: Principal".
 */

/** A policy as it is kept, or the first principal in it that is not there. */
export type PinnedPolicy = { readonly document: string; readonly missing?: undefined } | { readonly missing: string }

/**
 * Puts unique ids in the places of users, roles and sessions of roles that a policy names. What is nobody in particular
 * (`*`, accounts, services, providers) stays. Ids of what is there stay, too.
 *
 * @param document has passed the grammar
 */
export async function pinPrincipals(session: Session, document: string): Promise<PinnedPolicy> {
  const named = namedIn([document])
  if (named.length === 0) return { document }
  const byName = (kind: 'user' | 'role') => principalsNamed(session, kind, named.flatMap((each) => (each.kind === kind && each.by === 'name' ? [each] : [])))
  const rows = [...(await byName('user')), ...(await byName('role')), ...(await rowsById(session, named))]
  const replacements = new Map<string, string>()
  for (const each of named) {
    const row = rows.find((candidate) => isMeant(each, candidate))
    if (row === undefined) return { missing: each.text }
    if (each.by === 'name') replacements.set(each.text, each.sessionName === undefined ? row.unique_id : `${row.unique_id}:${each.sessionName}`)
  }
  return { document: withAwsPrincipals(document, replacements) }
}

/** Policies that were pinned, as they are shown: with the ARNs that users and roles have today. In the same order. */
export async function showPrincipals(session: Session, documents: readonly string[]): Promise<string[]> {
  const named = namedIn(documents.filter(mayHaveIds))
  if (!named.some(({ by }) => by === 'id')) return [...documents]
  const rows = new Map((await rowsById(session, named)).map((row) => [row.unique_id, row]))
  const replacements = new Map<string, string>()
  for (const each of named) {
    const row = each.by === 'id' ? rows.get(each.id) : undefined
    if (row !== undefined) replacements.set(each.text, arnOf(row, each.sessionName))
  }
  return documents.map((document) => (mayHaveIds(document) ? withAwsPrincipals(document, replacements) : document))
}

/** The usual policy names accounts and services. */
function mayHaveIds(document: string): boolean {
  return document.includes('"AIDA') || document.includes('"AROA')
}

/** A user, a role or a session of a role that a policy names. */
type Named = { readonly text: string; readonly kind: 'user' | 'role'; readonly sessionName: string | undefined } & (
  | { readonly by: 'id'; readonly id: string }
  | { readonly by: 'name'; readonly accountId: string; readonly name: string }
)

function namedIn(documents: readonly string[]): Named[] {
  const texts = new Set(documents.flatMap((document) => awsPrincipalTexts(document).map(({ value }) => value)))
  return [...texts].flatMap((text) => {
    const entry = awsPrincipalEntry(text)
    return entry === undefined ? [] : (namedBy(text, entry) ?? [])
  })
}

function namedBy(text: string, entry: PrincipalEntry): Named | undefined {
  switch (entry.kind) {
    case 'unique-id': {
      const { id, sessionName } = entry
      return { text, kind: id.startsWith('AIDA') ? 'user' : 'role', by: 'id', id, sessionName }
    }
    case 'user':
    case 'role': {
      const [, , , , accountId = ''] = text.split(':')
      return { text, kind: entry.kind, by: 'name', accountId, name: text.slice(text.lastIndexOf('/') + 1), sessionName: undefined }
    }
    case 'session': {
      const [, accountId = '', name = '', sessionName] = /^arn:[^:]*:sts::(\d{12}):assumed-role\/([^/]+)\/([\w+=,.@-]{2,64})$/.exec(text) ?? []
      return name === '' ? undefined : { text, kind: 'role', by: 'name', accountId, name, sessionName }
    }
    default:
      return undefined
  }
}

async function rowsById(session: Session, named: readonly Named[]): Promise<PrincipalRow[]> {
  const ids = (kind: 'user' | 'role') => [...new Set(named.flatMap((each) => (each.by === 'id' && each.kind === kind ? [each.id] : [])))]
  return [...(await principalsWithIds(session, 'user', ids('user'))), ...(await principalsWithIds(session, 'role', ids('role')))]
}

/** Names are one whatever their case, ARNs are not. */
function isMeant(named: Named, row: PrincipalRow): boolean {
  return named.by === 'id' ? row.unique_id === named.id : row.kind === named.kind && arnOf(row, named.sessionName) === named.text
}

function arnOf({ kind, account_id: accountId, path, name }: PrincipalRow, sessionName: string | undefined): string {
  if (sessionName !== undefined) return `arn:aws:sts::${accountId}:assumed-role/${name}/${sessionName}`
  return iamArn(accountId as AccountId, kind, path, name)
}
