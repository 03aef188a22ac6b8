import type { AccountId } from '../values/index.ts'

/** The name of a policy of the account in an ARN of its own; undefined for every other text. */
export function policyNameIn(arn: string, accountId: AccountId): string | undefined {
  const prefix = `arn:aws:iam::${accountId}:policy/`
  if (!arn.startsWith(prefix)) return undefined
  const name = arn.slice(arn.lastIndexOf('/') + 1)
  return name === '' ? undefined : name
}
