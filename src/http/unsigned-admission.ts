import type { RatedCall } from '../config/request-rates.ts'
import type { RequestRateLimit } from '../iam/request-rates.ts'
import { sourceGroup } from '../iam/source-group.ts'
import { FairShare } from '../internal/fair-share.ts'
import type { AccountId } from '../values/account.ts'

/** Who asks without a signature: nobody knows more of it than this. */
export interface UnsignedCaller {
  /** The account that the request is about. It is what the request says, whether there is such an account or not. */
  readonly accountId: AccountId
  readonly sourceIp: string
}

/** What takes no signature is asked of no region. */
const everyRegion = ''

/** Requests of one source, or about one account, begun in one turn of the event loop. */
const perTurn = 1

/** The lane of all that nobody signed, beside those of accounts, whose names it cannot take. */
const unsignedLane = 'unsigned'

/**
 * What requests without a signature pass before anything is verified: the rates of the account that they are about and of
 * where they come from, then turns among sources and among accounts, then one of the accounts' turns for all of them
 * together. So they take nothing from those who sign, whatever account they name, and a source with many requests at once
 * does not hold up one with few.
 *
 * They count as begun only, since some wait for an identity provider.
 */
export class UnsignedAdmission {
  readonly #ofAccounts: RequestRateLimit
  readonly #ofSources: RequestRateLimit
  readonly #sourceTurns = new FairShare({ limit: Number.POSITIVE_INFINITY, perTurn })
  readonly #accountTurns = new FairShare({ limit: Number.POSITIVE_INFINITY, perTurn })
  readonly #turns: FairShare

  /**
   * @param parts `ofAccounts`: for these requests alone, since accounts that are made up must not make a limit forget what it
   *   counted of others; `turns`: those of the accounts that keep the server busy
   */
  constructor(parts: { readonly ofAccounts: RequestRateLimit; readonly ofSources: RequestRateLimit; readonly turns: FairShare }) {
    this.#ofAccounts = parts.ofAccounts
    this.#ofSources = parts.ofSources
    this.#turns = parts.turns
  }

  /** @throws `throttled` (rejects with it), and what the work throws */
  async run<Result>({ accountId, sourceIp }: UnsignedCaller, calls: readonly RatedCall[], work: () => Promise<Result>): Promise<Result> {
    const source = sourceGroup(sourceIp)
    this.#ofSources.admit({ accountId: source, region: everyRegion }, calls)
    this.#ofAccounts.admit({ accountId, region: everyRegion }, calls)
    return this.#sourceTurns.begin(source, () => this.#accountTurns.begin(accountId, () => this.#turns.begin(unsignedLane, work)))
  }
}
