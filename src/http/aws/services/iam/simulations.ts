import { isPlatformError } from '../../../../internal/platform-error.ts'
import {
  contextKeysIn,
  pageOfItems,
  simulate,
  type SimulatedDecision,
  type SimulatedPolicies,
  type SourcedDocument,
} from '../../../../iam/index.ts'
import { parseAccountId } from '../../../../values/index.ts'
import { operation, type AwsCall, type AwsOperation } from '../../service.ts'
import { enumeration, list, required, string, structure, type Input } from '../../shapes.ts'
import { accountOf, pageEnd, pageRequest, resourceTagKeys, type IamServiceDependencies } from './calls.ts'
import * as shapes from './shapes.ts'

const mostActions = 100
const mostResources = 100

/** In one answer, whatever it asks for. */
const mostDecisions = 100

/**
 * Of a condition key: AWS takes more, but each is compared with every pattern of every policy while nothing else is done.
 */
const mostValues = 10
const longestValue = 512

/** Beside a principal's own: as many as the longest there may be of them. */
const documents = list(shapes.policyDocument, { max: 20 })

const simulationMembers = {
  PermissionsBoundaryPolicyInputList: list(shapes.policyDocument, { max: 1 }),
  ActionNames: required(list(string({ min: 3, max: 128 }), { max: mostActions })),
  ResourceArns: list(string({ min: 1, max: 2048 }), { max: mostResources }),
  // As long as a repository's may be.
  ResourcePolicy: string({ min: 1, max: 10_240 }),
  ResourceOwner: string({ min: 1, max: 2048 }),
  CallerArn: string({ min: 1, max: 2048 }),
  ContextEntries: list(
    structure({
      ContextKeyName: required(string({ min: 5, max: 256 })),
      ContextKeyValues: list(string({ max: longestValue }), { max: mostValues }),
      ContextKeyType: enumeration([
        'string',
        'stringList',
        'numeric',
        'numericList',
        'boolean',
        'booleanList',
        'ip',
        'ipList',
        'binary',
        'binaryList',
        'date',
        'dateList',
      ]),
    }),
    { max: 100 },
  ),
  ResourceHandlingOption: string({ min: 1, max: 64 }),
  ...shapes.pageMembers,
}

type SimulationInput = Input<ReturnType<typeof structure<typeof simulationMembers>>>

/** A document that is none is a wrong input here, and not something that was to be kept. */
const simulationErrors = {
  'policy-malformed': { type: 'InvalidInput', status: 400 },
  'iam-limit-exceeded': { type: 'InvalidInput', status: 400 },
} as const

/** What would be allowed: https://docs.aws.amazon.com/IAM/latest/APIReference/API_SimulatePrincipalPolicy.html */
export function simulationOperations(deps: IamServiceDependencies): Record<string, AwsOperation> {
  const { simulation, entities } = deps.directory

  /** Of the user or role whose policies are asked about. */
  const sourceTags = async ({ PolicySourceArn: arn }: { readonly PolicySourceArn: string }, call: AwsCall) => {
    const [, kind, name] = /^arn:aws:iam::\d{12}:(user|role)\/(?:.*\/)?([^/]+)$/.exec(arn) ?? []
    if ((kind !== 'user' && kind !== 'role') || name === undefined) return [{}]
    // A name may be asked about under a path that is not its own.
    if ((await entities.arnOf(accountOf(call), kind, name)) !== arn) return [{}]
    return [await resourceTagKeys(deps, call, { kind, name })]
  }

  return {
    GetContextKeysForCustomPolicy: operation({
      action: 'iam:GetContextKeysForCustomPolicy',
      resource: () => '*',
      input: structure({ PolicyInputList: required(documents) }),
      errors: simulationErrors,
      handler: async (_call, input) => Promise.resolve({ ContextKeyNames: contextKeysIn(sourced('PolicyInputList', input.PolicyInputList)) }),
    }),

    GetContextKeysForPrincipalPolicy: operation({
      action: 'iam:GetContextKeysForPrincipalPolicy',
      resource: (input) => input.PolicySourceArn,
      conditions: sourceTags,
      input: structure({ PolicySourceArn: required(shapes.arn), PolicyInputList: documents }),
      errors: simulationErrors,
      async handler(call, input) {
        const { identity } = await simulation.policiesOf(accountOf(call), input.PolicySourceArn)
        return { ContextKeyNames: contextKeysIn([...identity, ...sourced('PolicyInputList', input.PolicyInputList)]) }
      },
    }),

    SimulateCustomPolicy: operation({
      action: 'iam:SimulateCustomPolicy',
      resource: () => '*',
      input: structure({ PolicyInputList: required(documents), ...simulationMembers }),
      errors: simulationErrors,
      handler(call, input) {
        return answer(call, { identity: sourced('PolicyInputList', input.PolicyInputList), boundary: boundaryIn(input) }, input)
      },
    }),

    SimulatePrincipalPolicy: operation({
      action: 'iam:SimulatePrincipalPolicy',
      resource: (input) => input.PolicySourceArn,
      conditions: sourceTags,
      input: structure({ PolicySourceArn: required(shapes.arn), PolicyInputList: documents, ...simulationMembers }),
      errors: simulationErrors,
      async handler(call, input) {
        const held = await simulation.policiesOf(accountOf(call), input.PolicySourceArn)
        const policies = {
          identity: [...held.identity, ...sourced('PolicyInputList', input.PolicyInputList)],
          boundary: boundaryIn(input) ?? held.boundary,
        }
        const caller = /:(user|role)\//.test(input.PolicySourceArn) ? input.PolicySourceArn : undefined
        return answer(call, policies, { ...input, CallerArn: input.CallerArn ?? caller })
      },
    }),
  }
}

/** The documents of a member, with the ids that IAM gives them. */
function sourced(member: string, documents: readonly string[] = []): SourcedDocument[] {
  return documents.map((document, index) => ({ source: `${member}.${index + 1}`, document }))
}

function boundaryIn({ PermissionsBoundaryPolicyInputList: documents }: Pick<SimulationInput, 'PermissionsBoundaryPolicyInputList'>): SourcedDocument | undefined {
  return sourced('PermissionsBoundaryPolicyInputList', documents)[0]
}

async function answer(call: AwsCall, policies: SimulatedPolicies, input: SimulationInput): Promise<object> {
  const entries = (input.ContextEntries ?? []).map(
    ({ ContextKeyName, ContextKeyValues = [] }): [string, string | readonly string[]] => [
      ContextKeyName.toLowerCase(),
      ContextKeyValues.length === 1 ? (ContextKeyValues[0] ?? '') : ContextKeyValues,
    ],
  )
  const resources = input.ResourceArns ?? ['*']
  const questions = input.ActionNames.flatMap((action) => resources.map((resource) => ({ action, resource })))
  const numbered = questions.map((question, index) => ({ question, position: String(index).padStart(6, '0') }))
  const page = pageRequest('simulation', input)
  const { items, next } = pageOfItems(numbered, ({ position }) => position, { ...page, limit: Math.min(page.limit, mostDecisions) })
  const decisions = await simulate(accountOf(call), policies, {
    questions: items.map(({ question }) => question),
    resourcePolicy: input.ResourcePolicy === undefined ? undefined : { source: 'ResourcePolicy', document: input.ResourcePolicy },
    resourceOwner: ownerIn(input.ResourceOwner) ?? accountOf(call),
    callerArn: input.CallerArn,
    context: new Map(entries),
  })
  return { EvaluationResults: decisions.map(resultMember), ...pageEnd('simulation', next) }
}

function resultMember({ action, resource, decision, matched, allowedByBoundary, missingKeys }: SimulatedDecision): object {
  return {
    EvalActionName: action,
    EvalResourceName: resource,
    EvalDecision: decision,
    // The types are those of IAM's answers, which differ from those of its model.
    MatchedStatements: matched.map(({ source, isOfResource, start, end }) => ({
      SourcePolicyId: source,
      SourcePolicyType: isOfResource ? 'Resource Policy' : 'IAM Policy',
      StartPosition: { Line: start.line, Column: start.column },
      EndPosition: { Line: end.line, Column: end.column },
    })),
    MissingContextValues: missingKeys,
    PermissionsBoundaryDecisionDetail:
      allowedByBoundary === undefined ? undefined : { AllowedByPermissionsBoundary: allowedByBoundary },
  }
}

/** Of `arn:aws:iam::<account>:root`, or the account itself. */
function ownerIn(text: string | undefined): ReturnType<typeof parseAccountId> | undefined {
  const account = /(?:^|:)(\d{12})(?::|$)/.exec(text ?? '')?.[1]
  try {
    return account === undefined ? undefined : parseAccountId(account)
  } catch (error) {
    if (isPlatformError(error)) return undefined
    throw error
  }
}
