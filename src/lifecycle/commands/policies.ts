import { audit, lockRepository } from '../../registry/change.ts'
import { defineCommand } from '../../storage/metadata/command.ts'
import { findLifecycleState, findPolicyAt, planEvaluation, putPolicyAt, type PolicyPlace } from '../../storage/metadata/stores/lifecycle-policy-store.ts'
import { lifecycleError } from '../errors.ts'

/** A repository's policy in ECR's grammar. */
export function ecrPolicyOf(registryId: number, repositoryId: number): PolicyPlace {
  return { registryId, grammar: 'ecr', scope: 'repository', scopeKey: String(repositoryId) }
}

export function policyUnknown(name: string, accountId: string) {
  return lifecycleError(
    'lifecycle-policy-unknown',
    `Lifecycle policy does not exist for the repository with name '${name}' in the registry with id '${accountId}'`,
  )
}

export const putLifecyclePolicy = defineCommand({
  name: 'put-lifecycle-policy',
  durability: 'durable',
  /** @param input `evaluateAt`: when it is first acted by */
  async run(tx, input: { name: string; document: string; evaluateAt: number }, context): Promise<void> {
    const { id } = await lockRepository(tx, context, input.name)
    const place = ecrPolicyOf(context.registryId, id)
    const { document, evaluateAt } = input
    // The same again is no new version: nobody has changed their mind.
    if ((await findPolicyAt(tx, place))?.document !== document) {
      await putPolicyAt(tx, place, { repositoryId: id, document, now: context.nowMs, by: context.actorArn })
      await planEvaluation(tx, id, evaluateAt)
    }
    await audit(tx, context, input.name, 'PutLifecyclePolicy', { lifecyclePolicyText: document })
  },
})

/** What the policy was. Throws `repository-unknown`, `lifecycle-policy-unknown`. */
export const deleteLifecyclePolicy = defineCommand({
  name: 'delete-lifecycle-policy',
  durability: 'durable',
  async run(tx, input: { name: string }, context): Promise<{ document: string; lastEvaluatedAt: number | null }> {
    const { id } = await lockRepository(tx, context, input.name)
    const place = ecrPolicyOf(context.registryId, id)
    const document = (await findPolicyAt(tx, place))?.document
    if (document === undefined || document === null) throw policyUnknown(input.name, context.accountId)
    const lastEvaluatedAt = (await findLifecycleState(tx, id))?.evaluatedAt ?? null
    await putPolicyAt(tx, place, { repositoryId: id, document: null, now: context.nowMs, by: context.actorArn })
    await audit(tx, context, input.name, 'DeleteLifecyclePolicy', {})
    return { document, lastEvaluatedAt }
  },
})
