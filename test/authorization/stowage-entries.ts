import type { Entry, EntryTable } from './entry.ts'
import { absentDigest, homeAccount, otherAccount, presentSource, type Place } from './places.ts'

/** An operation on the accounts of the installation; they belong to its own account, whoever asks. */
function entry(operation: string, granted: string, inputOf: (place: Place) => object): Entry {
  return {
    subject: 'installation',
    needs: [`stowage:${operation}`],
    resource: `arn:aws:stowage::${homeAccount}:account/any`,
    granted,
    request: (place) => ({ protocol: 'json', service: 'stowage', target: `Stowage_V1.${operation}`, input: inputOf(place) }),
  }
}

type Call = Pick<Entry, 'granted' | 'changes'> & { readonly input?: object; readonly needs?: readonly string[] }

/** An operation on a repository. */
function onRepository(operation: string, { input, ...call }: Call): Entry {
  return {
    subject: 'repository',
    needs: [`stowage:${operation}`],
    ...call,
    request: ({ accountId, repository }) => ({
      protocol: 'json',
      service: 'stowage',
      target: `Stowage_V1.${operation}`,
      input: { registryId: accountId, repositoryName: repository, ...input },
    }),
  }
}

/** An operation on something else of the caller's own registry. */
function onOwn(operation: string, resource: string, { input, ...call }: Call): Entry {
  return {
    subject: 'own account',
    needs: [`stowage:${operation}`],
    resource,
    ...call,
    request: () => ({ protocol: 'json', service: 'stowage', target: `Stowage_V1.${operation}`, input: { ...input } }),
  }
}

const absentSource = 'nobody'

function onSource(operation: string, call: Call): Entry {
  return onOwn(operation, `arn:aws:stowage:us-east-1:{account}:usage-source/${absentSource}`, { ...call, input: { sourceName: absentSource, ...call.input } })
}

function onDestination(operation: string, call: Call): Entry {
  return onOwn(operation, 'arn:aws:events:us-east-1:{account}:api-destination/nowhere', { ...call, input: { destinationName: 'nowhere', ...call.input } })
}

/** Reporting is one right. */
const reports = { needs: ['stowage:PutUsageLeases'], granted: 'UsageSourceNotFoundException' } as const
const snapshot = { snapshotNumber: 1, writer: 'matrix' }

function onOwnRegistry(operation: string, call: Call): Entry {
  return onOwn(operation, 'arn:aws:ecr:us-east-1:{account}:*', call)
}
const absentBatch = { trashBatch: '00000000-0000-4000-8000-000000000000' }
const absentRun = { runId: '00000000-0000-4000-8000-000000000000' }


/** An operation on a repository's retention policy, which none has. */
function onRetention(operation: string, granted: string, input: object = {}): Entry {
  return {
    subject: 'repository',
    needs: [`stowage:${operation}`],
    granted,
    request: ({ accountId, repository }) => ({
      protocol: 'json',
      service: 'stowage',
      target: `Stowage_V1.${operation}`,
      input: { registryId: accountId, scope: 'REPOSITORY', repositoryName: repository, ...input },
    }),
  }
}

/** An operation on the collection of the installation's garbage, which is its own account's too. */
function onCollection(operation: string, input: object = {}, call: Partial<Entry> = {}): Entry {
  return { ...entry(operation, '200', () => input), resource: `arn:aws:stowage::${homeAccount}:garbage-collection`, ...call }
}

/** A quota of an account or a registry, which is the installation's to set. */
function onQuota(operation: string, granted: string, input: object, of: string): Entry {
  return { ...entry(operation, granted, () => input), resource: `arn:aws:stowage::${homeAccount}:quota/${of}` }
}

export const stowageEntries: EntryTable = {
  'stowage:CreateAccount': entry('CreateAccount', 'AccountAlreadyExistsException', () => ({ accountId: otherAccount, name: 'again' })),
  'stowage:DescribeAccount': entry('DescribeAccount', 'AccountNotFoundException', ({ repository }) => ({ accountId: repository })),
  'stowage:ListAccounts': entry('ListAccounts', '200', () => ({})),
  'stowage:ReplaceRootCredential': entry('ReplaceRootCredential', 'AccountNotFoundException', ({ repository }) => ({ accountId: repository })),

  'stowage:DescribeImage': onRepository('DescribeImage', { input: { imageId: { imageTag: 'v1' } }, granted: '200' }),
  'stowage:ListImageStates': onRepository('ListImageStates', { granted: '200' }),
  'stowage:SetImageRetirement': onRepository('SetImageRetirement', {
    input: { imageId: { imageDigest: absentDigest }, state: 'DEPRECATED', reason: 'matrix' },
    granted: 'ImageNotFoundException',
  }),
  // An end that is past: whoever may protect is told so, and nothing changes.
  'stowage:PutProtection': onRepository('PutProtection', { input: { imageTag: 'v1', reason: 'matrix', endsAt: 1 }, granted: 'InvalidParameterException' }),
  'stowage:DeleteProtection': onRepository('DeleteProtection', { input: { imageTag: 'unprotected' }, granted: 'ProtectionNotFoundException' }),
  'stowage:ListProtections': onRepository('ListProtections', { granted: '200' }),

  'stowage:RegisterUsageSource': onSource('RegisterUsageSource', {
    input: { sourceName: presentSource, principalArn: `arn:aws:iam::${homeAccount}:root`, environment: 'matrix', scope: ['nothing'], intervalSeconds: 60 },
    granted: 'UsageSourceAlreadyExistsException',
  }),
  'stowage:UpdateUsageSource': onSource('UpdateUsageSource', { granted: 'UsageSourceNotFoundException' }),
  'stowage:DescribeUsageSources': onSource('DescribeUsageSources', { input: { sourceName: undefined }, granted: '200' }),
  'stowage:DescribeUsageSources by name': onSource('DescribeUsageSources', { granted: 'UsageSourceNotFoundException' }),
  'stowage:DecommissionUsageSource': onSource('DecommissionUsageSource', { input: { reason: 'matrix' }, granted: 'UsageSourceNotFoundException' }),
  'stowage:BeginUsageSnapshot': onSource('BeginUsageSnapshot', { ...reports, input: snapshot }),
  'stowage:PutUsageLeases': onSource('PutUsageLeases', { ...reports, input: { ...snapshot, leases: [{ imageDigest: absentDigest, workload: 'matrix' }] } }),
  'stowage:CompleteUsageSnapshot': onSource('CompleteUsageSnapshot', { ...reports, input: { ...snapshot, expectedCount: 0 } }),
  'stowage:AcceptUsageSnapshot': onSource('AcceptUsageSnapshot', { input: { snapshotNumber: 1 }, granted: 'UsageSourceNotFoundException' }),
  'stowage:ListUsageLeases': onSource('ListUsageLeases', { granted: 'UsageSourceNotFoundException' }),

  'stowage:PlaceHold': onOwnRegistry('PlaceHold', { input: { reason: 'matrix' }, granted: '200', changes: true }),
  'stowage:ReleaseHold': onOwnRegistry('ReleaseHold', { input: { holdId: 999_999_999, reason: 'matrix' }, granted: 'HoldNotFoundException' }),
  'stowage:ListHolds': onOwnRegistry('ListHolds', { granted: '200' }),
  'stowage:ExplainImage': onRepository('ExplainImage', { input: { imageTag: 'absent' }, granted: 'ImageNotFoundException' }),
  'stowage:StartLifecycleRun': onRepository('StartLifecycleRun', { granted: '200' }),
  'stowage:ListLifecycleRuns': onRepository('ListLifecycleRuns', { granted: '200' }),
  'stowage:DescribeLifecycleRun': onOwnRegistry('DescribeLifecycleRun', { input: absentRun, granted: 'LifecycleRunNotFoundException' }),
  'stowage:ConfirmLifecycleRun': onOwnRegistry('ConfirmLifecycleRun', { input: absentRun, granted: 'LifecycleRunNotFoundException' }),
  'stowage:CancelLifecycleRun': onOwnRegistry('CancelLifecycleRun', { input: absentRun, granted: 'LifecycleRunNotFoundException' }),

  'stowage:PutRetentionPolicy': onRetention('PutRetentionPolicy', 'InvalidParameterException', { policyText: 'no policy' }),
  'stowage:PutRetentionPolicy of a registry': onOwnRegistry('PutRetentionPolicy', {
    input: { scope: 'REGISTRY', policyText: 'no policy' },
    granted: 'InvalidParameterException',
  }),
  'stowage:PreviewPolicy': onRepository('PreviewPolicy', { input: { policyType: 'RETENTION', policyText: 'no policy' }, granted: 'InvalidParameterException' }),
  'stowage:GetRetentionPolicy': onRetention('GetRetentionPolicy', 'RetentionPolicyNotFoundException'),
  'stowage:DeleteRetentionPolicy': onRetention('DeleteRetentionPolicy', 'RetentionPolicyNotFoundException'),
  'stowage:ListPolicyVersions': onRetention('ListPolicyVersions', 'RetentionPolicyNotFoundException'),
  'stowage:ListRetentionPolicies': onOwnRegistry('ListRetentionPolicies', { granted: '200' }),
  'stowage:EraseImages': onRepository('EraseImages', { input: { imageDigests: [absentDigest], reason: 'matrix' }, granted: 'ImageNotFoundException' }),
  'stowage:EraseImages with a right to override': onRepository('EraseImages', {
    input: { imageDigests: [absentDigest], reason: 'matrix', overrideProtection: true },
    needs: ['stowage:EraseImages', 'stowage:OverrideProtection'],
    granted: 'ImageNotFoundException',
  }),
  'stowage:ListErasures': {
    subject: 'registry',
    needs: ['stowage:ListErasures'],
    resource: 'arn:aws:ecr:us-east-1:{account}:*',
    granted: '200',
    request: ({ accountId }) => ({ protocol: 'json', service: 'stowage', target: 'Stowage_V1.ListErasures', input: { registryId: accountId } }),
  },
  'stowage:DescribeGarbageCollection': onCollection('DescribeGarbageCollection'),
  'stowage:RunGarbageCollection': onCollection('RunGarbageCollection', { waitSeconds: 0 }),
  // An end that is past: whoever may pause is told so, and nothing changes.
  'stowage:PauseGarbageCollection': onCollection('PauseGarbageCollection', { reason: 'matrix', endsAt: 1 }, { granted: 'InvalidParameterException' }),
  'stowage:ResumeGarbageCollection': onCollection('ResumeGarbageCollection'),
  'stowage:SetGarbageCollectionRate': onCollection('SetGarbageCollectionRate'),
  'stowage:ExplainBlob': onCollection('ExplainBlob', { digest: absentDigest }),
  'stowage:SimulateGarbageCollection': onCollection('SimulateGarbageCollection'),
  'stowage:StartReconciliation': onCollection('StartReconciliation'),
  'stowage:DescribeReconciliation': onCollection('DescribeReconciliation'),
  'stowage:CreateEventDestination': onDestination('CreateEventDestination', { input: { url: 'http://plain.example' }, granted: 'ValidationException' }),
  'stowage:UpdateEventDestination': onDestination('UpdateEventDestination', { granted: 'ResourceNotFoundException' }),
  'stowage:DeleteEventDestination': onDestination('DeleteEventDestination', { granted: 'ResourceNotFoundException' }),
  'stowage:ListEventDeadLetters': onOwn('ListEventDeadLetters', 'arn:aws:events:us-east-1:{account}:api-destination/*', { granted: '200' }),
  'stowage:ReplayEventDeadLetters': onOwn('ReplayEventDeadLetters', 'arn:aws:events:us-east-1:{account}:api-destination/*', { input: { deadLetterIds: [999_999_999] }, granted: '200' }),
  'stowage:ListEventDestinations': onOwn('ListEventDestinations', 'arn:aws:events:us-east-1:{account}:api-destination/*', { granted: '200' }),
  'stowage:ListTrash': onOwnRegistry('ListTrash', { granted: '200' }),
  'stowage:ListTrash of a repository': onRepository('ListTrash', { granted: '200' }),
  'stowage:DescribeDisks': { ...entry('DescribeDisks', '200', () => ({})), resource: `arn:aws:stowage::${homeAccount}:disk` },
  'stowage:DescribeMetrics': { ...entry('DescribeMetrics', '200', () => ({})), resource: `arn:aws:stowage::${homeAccount}:metrics` },
  // Bounds nothing: whoever may is told so, and nothing changes.
  'stowage:PutQuota': onRepository('PutQuota', { input: { scope: 'REPOSITORY' }, granted: 'InvalidParameterException' }),
  'stowage:PutQuota of an account': onQuota('PutQuota', 'InvalidParameterException', { scope: 'ACCOUNT', accountId: otherAccount }, otherAccount),
  'stowage:PutQuota of a registry': onQuota('PutQuota', 'InvalidParameterException', { scope: 'REGISTRY', accountId: otherAccount }, otherAccount),
  'stowage:DeleteQuota': onRepository('DeleteQuota', { input: { scope: 'REPOSITORY' }, granted: 'QuotaNotFoundException' }),
  'stowage:DeleteQuota of an account': onQuota('DeleteQuota', 'QuotaNotFoundException', { scope: 'ACCOUNT', accountId: otherAccount }, otherAccount),
  'stowage:ListQuotas': onOwnRegistry('ListQuotas', { granted: '200' }),
  'stowage:ListQuotas of every account': onQuota('ListQuotas', '200', { everyAccount: true }, '*'),
  'stowage:ListStorage': onOwnRegistry('ListStorage', { granted: '200' }),
  'stowage:DescribeAccountStorage': onOwnRegistry('DescribeAccountStorage', { granted: '200' }),
  'stowage:DescribeStorage': onRepository('DescribeStorage', { granted: '200' }),
  'stowage:DescribeTrash': onRepository('DescribeTrash', { input: absentBatch, granted: 'TrashNotFoundException' }),
  'stowage:RestoreTrash': onRepository('RestoreTrash', { input: absentBatch, granted: 'TrashNotFoundException' }),
  'stowage:RestoreTrash of an image': onRepository('RestoreTrash', { input: { imageId: { imageDigest: absentDigest } }, granted: 'TrashNotFoundException' }),
  'stowage:PurgeTrash': onRepository('PurgeTrash', { input: absentBatch, granted: 'TrashNotFoundException' }),
  'stowage:ListTagChanges': onRepository('ListTagChanges', { granted: '200' }),
  'stowage:ListTagHistory': onRepository('ListTagHistory', { input: { imageTag: 'v1' }, granted: '200' }),
  'stowage:UndoTagChange': onRepository('UndoTagChange', { input: { changeId: 999_999_999 }, granted: 'TagChangeNotFoundException' }),
}
