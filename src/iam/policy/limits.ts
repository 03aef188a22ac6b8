/**
 * How long a policy may be, in characters, without white space: IAM does not count it. What is aggregate holds for all
 * inline policies of one owner together. IAM's quotas ("IAM and AWS STS quotas") and ECR's own limit of a policy text.
 */
export const maxPolicySize = {
  managed: 6144,
  userInlineAggregate: 2048,
  groupInlineAggregate: 5120,
  roleInlineAggregate: 10_240,
  trust: 2048,
  /** Counted with white space, as STS's parameter Policy is. */
  session: 2048,
  /** Counted with white space: of a repository's or a registry's policy. */
  ecr: 10_240,
} as const

/** IAM's limit of the parameter PolicyDocument: longer texts are not even read. */
export const maxPolicyTextLength = 131_072

/** A policy's length as IAM counts it: without white space. */
export function policySize(text: string): number {
  let size = 0
  for (let at = 0; at < text.length; at++) {
    const unit = text.charCodeAt(at)
    if (unit !== 0x20 && unit !== 0x09 && unit !== 0x0a && unit !== 0x0d) size++
  }
  return size
}
