import { awsClientError } from '../aws/errors.ts'
import { sameDocument, type IamCalls, type IamTag, type PrincipalForm } from './iam-calls.ts'
import type { PermissionSetName, PolicyDocument } from './permission-sets.ts'
import { providerName, type Workload } from './workloads.ts'

/** What the quick start wants there to be. */
export interface QuickstartTarget {
  readonly set: PermissionSetName
  readonly form: PrincipalForm
  readonly name: string
  readonly accountId: string
  readonly policy: PolicyDocument
  readonly trustPolicy: object | undefined
  readonly workload: Workload | undefined
  /** An access key for a user that has none. */
  readonly accessKey: boolean
}

/** A step of the plan. `keep`: it is there as it should be. */
export interface PlanStep {
  readonly action: 'create' | 'change' | 'keep'
  readonly what: string
  /** Does it; nothing for `keep`. */
  readonly apply?: () => Promise<void>
}

export interface QuickstartPlan {
  readonly steps: readonly PlanStep[]
  /** The new access key, once the step that makes it was applied. */
  newAccessKey(): { readonly accessKeyId: string; readonly secretAccessKey: string } | undefined
  readonly accessKeyIds: readonly string[]
  readonly createsProvider: boolean
}

/** Marks what the quick start made: nothing else is ever changed by it. */
const markKey = 'stowage:quickstart'

export const policyNameOf = (set: PermissionSetName): string => `stowage-${set}`

export const providerArnOf = (accountId: string, workload: Workload): string =>
  `arn:aws:iam::${accountId}:oidc-provider/${providerName(workload)}`

/**
 * Looks at what there is, and says what is to be done. Applied twice, the second plan keeps everything.
 *
 * @throws `aws-settings-invalid` where a user or role of that name was not made by the quick start with the same set
 */
export async function planQuickstart(calls: IamCalls, target: QuickstartTarget): Promise<QuickstartPlan> {
  const { set, form, name, policy, trustPolicy, workload } = target
  const steps: PlanStep[] = []
  const principal = await calls.findPrincipal(form, name)
  if (principal !== undefined) requireOwn(principal.tags, target)

  let createsProvider = false
  if (workload !== undefined) {
    const arn = providerArnOf(target.accountId, workload)
    const audiences = await calls.findProvider(arn)
    createsProvider = audiences === undefined
    if (audiences === undefined) {
      steps.push({ action: 'create', what: `identity provider ${workload.issuer}, audience ${workload.audience}`, apply: () => calls.createProvider(workload.issuer, workload.audience) })
    } else if (!audiences.includes(workload.audience)) {
      steps.push({ action: 'change', what: `identity provider ${workload.issuer}: also audience ${workload.audience}`, apply: () => calls.addAudience(arn, workload.audience) })
    } else {
      steps.push({ action: 'keep', what: `identity provider ${workload.issuer}` })
    }
  }

  const tags = [{ key: markKey, value: set }]
  if (principal === undefined) {
    const apply =
      trustPolicy === undefined
        ? (): Promise<void> => calls.createUser(name, tags)
        : (): Promise<void> => calls.createRole(name, trustPolicy, `Made by stowage iam quickstart: ${set}`, tags)
    steps.push({ action: 'create', what: `${form} ${name}`, apply })
  } else {
    steps.push({ action: 'keep', what: `${form} ${name}` })
    if (trustPolicy !== undefined) {
      steps.push(
        sameDocument(principal.trustPolicy, trustPolicy)
          ? { action: 'keep', what: `trust policy of role ${name}` }
          : { action: 'change', what: `trust policy of role ${name}`, apply: () => calls.updateTrust(name, trustPolicy) },
      )
    }
  }

  const policyName = policyNameOf(set)
  const present = principal === undefined ? undefined : await calls.findInlinePolicy(form, name, policyName)
  const what = `policy ${policyName} of ${form} ${name}`
  if (present !== undefined && sameDocument(present, policy)) steps.push({ action: 'keep', what })
  else steps.push({ action: present === undefined ? 'create' : 'change', what, apply: () => calls.putInlinePolicy(form, name, policyName, policy) })

  const accessKeyIds = form === 'user' && principal !== undefined ? await calls.accessKeyIds(name) : []
  let newAccessKey: { readonly accessKeyId: string; readonly secretAccessKey: string } | undefined
  if (target.accessKey) {
    if (accessKeyIds.length > 0) steps.push({ action: 'keep', what: `access key ${accessKeyIds.join(', ')} of user ${name}` })
    else {
      const apply = async (): Promise<void> => {
        newAccessKey = await calls.createAccessKey(name)
      }
      steps.push({ action: 'create', what: `access key of user ${name}`, apply })
    }
  }
  return { steps, accessKeyIds, createsProvider, newAccessKey: () => newAccessKey }
}

function requireOwn(tags: readonly IamTag[], { form, name, set }: QuickstartTarget): void {
  const mark = tags.find(({ key }) => key === markKey)?.value
  if (mark === set) return
  const reason = mark === undefined ? 'was not made by this command' : `was made for ${mark}`
  throw awsClientError('aws-settings-invalid', `${form} ${name} is there and ${reason}: it is left alone.\n  Choose another name: --name NAME`)
}
