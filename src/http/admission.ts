import type { RatedCall } from '../config/request-rates.ts'
import type { RequestRateLimit } from '../iam/request-rates.ts'
import type { FairShare } from '../internal/fair-share.ts'
import type { RequestContext } from '../registry/context.ts'

/** What an operation counts as, and whether it goes at its client's pace (a body it receives or sends) or the server's. */
export interface AdmissionRule {
  /** Calls of ECR that it counts as. */
  readonly calls: readonly RatedCall[]
  readonly pace: 'server' | 'client'
}

/**
 * What every request passes between its authorisation and its work: the rates of the registry that it addresses, then
 * its turn among the accounts that keep the server busy.
 */
export class Admission {
  readonly #rates: RequestRateLimit
  readonly #turns: FairShare
  #admitted = 0

  constructor(parts: { readonly rates: RequestRateLimit; readonly turns: FairShare }) {
    this.#rates = parts.rates
    this.#turns = parts.turns
  }

  /** Requests since the start: work in the background lets them go before. */
  get admitted(): number {
    return this.#admitted
  }

  /**
   * Runs the work when it is its account's turn: of whoever asks, whichever registry is asked.
   * @throws `throttled` (rejects with it), and what the work throws
   */
  async run<Result>({ actor, registry }: RequestContext, rule: AdmissionRule, work: () => Promise<Result>): Promise<Result> {
    this.#rates.admit(registry, rule.calls)
    this.#admitted += 1
    return rule.pace === 'server' ? this.#turns.run(actor.accountId, work) : this.#turns.begin(actor.accountId, work)
  }
}
