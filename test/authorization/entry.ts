import type { Caller } from './callers.ts'
import type { MatrixRequest } from './exchange.ts'
import type { Place } from './places.ts'

/** What an operation is about, and so which cells of the matrix it has. */
export type Subject =
  /** One repository: a cell for each of the places. */
  | 'repository'
  /** The repositories of a registry together: a cell for each account's. */
  | 'registry'
  /** Something of the caller's own account, in which no other account can be named. */
  | 'own account'
  /** Users, groups, roles and policies of the caller's own account, by names that nothing has. */
  | 'identity'
  /** The installation's accounts, by a number that none has. */
  | 'installation'

/**
 * One operation as AWS's documentation has it, written without a look at the server's own table.
 * https://docs.aws.amazon.com/service-authorization/latest/reference/list_ecr.html and its neighbours.
 */
export interface Entry {
  readonly subject: Subject
  /** IAM actions; all of them have to be allowed. None: whoever is known may. */
  readonly needs: readonly string[]
  /** Further actions, each on something else than the others. */
  readonly needsElsewhere?: readonly { readonly action: string; resource(accountId: string): string }[]
  /** What the actions are needed on, where it is not the subject itself. Account ids stand in it as `{account}`. */
  readonly resource?: string
  /**
   * The smallest request that gets as far as it can without a change that another cell would notice: what would be made
   * is there already, what would be removed is not there.
   */
  request(place: Place): MatrixRequest
  /** How it is answered to whoever may: an error's code, or for a success the status. */
  readonly granted: string
  /** Places where the answer to whoever may is another. */
  readonly grantedAt?: Readonly<Record<string, string>>
  /**
   * A repository of the same registry from which a blob is to come: with the right to pull there it is mounted (201), without
   * it has to be uploaded (202), as if the source were not there.
   */
  readonly mountsFrom?: string
  /** Callers who are refused whatever the policies say. */
  refuses?(caller: Caller): boolean
  /** It proves by itself who sends it: nobody has to sign it. */
  readonly takesAnonymous?: true
  /** Credentials from GetSessionToken are none to it. https://docs.aws.amazon.com/STS/latest/APIReference/API_GetSessionToken.html */
  readonly closedToOwnSessions?: true
  /** Where it is granted it changes something: its cells are asked alone, and it is mended after each. */
  readonly changes?: true
}

/** Entries by the names of their operations, `<service>:<operation>`; what is behind a space tells several apart. */
export type EntryTable = Readonly<Record<string, Entry>>
