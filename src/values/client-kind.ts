/**
 * What pulls an image: something that runs it, a build, a scanner, a copy to another registry, or somebody at a keyboard. What
 * nothing tells otherwise is taken for a person.
 */
export const clientKinds = ['workload', 'ci', 'scanner', 'replication', 'person'] as const

export type ClientKind = (typeof clientKinds)[number]

/** What a client has to be like for its kind. All that is given has to be so. */
export interface ClientKindRule {
  readonly kind: ClientKind
  /** A pattern with `*`, of the `User-Agent`, whatever its case. */
  readonly agent?: string
  /** A pattern with `*`, of the ARN of who asks, or of `user/…`, `role/…` and `session/…` with its last name. */
  readonly principal?: string
  readonly network?: { readonly address: string; readonly prefix: number; readonly family: 'ipv4' | 'ipv6' }
}
