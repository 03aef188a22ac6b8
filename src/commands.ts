import { forgetSealedChanges } from './audit/commands/sealed-changes.ts'
import { createAccount } from './iam/commands/accounts.ts'
import { createAccessKey, recordAccessKeyUses, removeAccessKey, setAccessKey } from './iam/commands/access-keys.ts'
import { createAccountAlias, deleteAccountAlias } from './iam/commands/account-alias.ts'
import { addUserToGroup, createGroup, deleteGroup, removeUserFromGroup, updateGroup } from './iam/commands/groups.ts'
import { tagEntity, untagEntity } from './iam/commands/iam-tags.ts'
import { createOidcProvider, deleteOidcProvider, updateOidcProvider } from './iam/commands/oidc-providers.ts'
import {
  createPolicy,
  createPolicyVersion,
  deletePolicy,
  deletePolicyVersion,
  setDefaultPolicyVersion,
} from './iam/commands/policies.ts'
import {
  attachPolicy,
  deleteInlinePolicy,
  detachPolicy,
  putBoundary,
  putInlinePolicy,
} from './iam/commands/policy-attachments.ts'
import { createRole, deleteRole, updateRole } from './iam/commands/roles.ts'
import { createUser, deleteUser, updateUser } from './iam/commands/users.ts'
import { replaceRootAccessKey } from './iam/commands/root-access-key.ts'
import { createSession, recordRoleUse, sweepSessions } from './iam/commands/sessions.ts'
import { beginMove, claimArchiveWork, endAllMoves, endArchiveWork, endMove, postponeArchiveWork, settlePlacement, switchPlace } from './archive/commands/placements.ts'
import { claimLanes, dropEvents, fanOutEvents, freeLanes, releaseLane, replayDeadLetters, settleDelivery, sweepDeadLetters } from './events/commands/delivery.ts'
import { fanOutTrail, forgetTrailPlace } from './events/commands/trail-events.ts'
import { createDestination, deleteDestination, updateDestination } from './events/commands/destinations.ts'
import { deleteRule, putRule, putTargets, removeTargets, setRuleState } from './events/commands/rules.ts'
import { eraseImages, recordReclaimed } from './gc/commands/erase-images.ts'
import { noteDisk } from './gc/commands/disk-samples.ts'
import { pauseCollection, resumeCollection } from './gc/commands/pause.ts'
import { setCollectionRate } from './gc/commands/rate.ts'
import { claimReconciliation, keepReconciliation, releaseReconciliation, requestReconciliation, reviewForgotten } from './gc/commands/reconcile.ts'
import { condemnBlob, forgetBlobPlaces } from './gc/commands/reclaim-blob.ts'
import {
  claimReviewBatch,
  forgetLocations,
  postponeReview,
  reviewBlobs,
  reviewManifests,
  reviewRepository,
  reviewSights,
} from './gc/commands/reviews.ts'
import { reinstateBlob } from './integrity/commands/locations.ts'
import { claimScrub, keepScrub, releaseScrub } from './integrity/commands/scrub.ts'
import { recountRepository } from './integrity/commands/sums.ts'
import { putAccountSetting } from './registry/commands/account-settings.ts'
import { deleteBlob, mountBlob, promiseBlob } from './registry/commands/blobs.ts'
import {
  createCreationTemplate,
  deleteCreationTemplate,
  updateCreationTemplate,
} from './registry/commands/creation-templates.ts'
import { quarantineBlob, recordBlobChecksums } from './registry/commands/damage.ts'
import { activateForPull, finishActivation, updateStorageClass } from './registry/commands/storage-class.ts'
import { deleteImages, deleteTag } from './registry/commands/delete-images.ts'
import {
  deleteRegistryPolicy,
  deleteRepositoryPolicy,
  putRegistryPolicy,
  setRepositoryPolicy,
} from './registry/commands/policies.ts'
import { deleteQuota, outlastChanges, putQuota } from './registry/commands/quotas.ts'
import {
  deregisterPullTimeExclusion,
  registerPullTimeExclusion,
} from './registry/commands/pull-time-exclusions.ts'
import { compareWithLastStart, noteDoubtedSources, placeHold, raiseClockHold, recordClock, releaseHold } from './registry/commands/holds.ts'
import { deleteProtection, putProtection } from './registry/commands/protections.ts'
import { acceptUsageSnapshot, beginUsageSnapshot, completeUsageSnapshot, putUsageLeases } from './registry/commands/usage-snapshots.ts'
import { decommissionUsageSource, registerUsageSource, updateUsageSource } from './registry/commands/usage-sources.ts'
import { changeAlarmState, deleteAlarms, putAlarm, setAlarmActions } from './metrics/commands/alarms.ts'
import { claimLook, noteUse } from './metrics/commands/watch.ts'
import { recordPulls } from './registry/commands/pulls.ts'
import { putManifest } from './registry/commands/put-manifest.ts'
import { putStepOff, setImageRetirement, takeRetirementStep } from './registry/commands/retirement.ts'
import { purgeTrash } from './registry/commands/purge-trash.ts'
import { restoreForPull, restoreTrash, undoTagChange } from './registry/commands/restore-trash.ts'
import { beginPreview, finishPreview, savePreviewPages } from './lifecycle/commands/previews.ts'
import { saveLabels } from './lifecycle/commands/labels.ts'
import { deleteRetentionPolicy, putRetentionPolicy, spreadPolicy } from './lifecycle/commands/retention-policies.ts'
import { giveNotice } from './lifecycle/commands/notices.ts'
import { deleteLifecyclePolicy, putLifecyclePolicy } from './lifecycle/commands/policies.ts'
import {
  applyLifecycle,
  beginRun,
  claimLifecycle,
  finishLifecycle,
  freeLifecycle,
  keepLifecycle,
  noteRun,
  planLifecycle,
  releaseLifecycle,
  settleRun,
} from './lifecycle/commands/runs.ts'
import { askVetoes } from './lifecycle/commands/vetoes.ts'
import { beginRegistry, ensureRegistry } from './registry/commands/registries.ts'
import {
  createRepository,
  deleteRepository,
  putScanOnPush,
  putTagMutability,
  tagResource,
  untagResource,
} from './registry/commands/repositories.ts'
import {
  beginUpload,
  completeUpload,
  endUpload,
  releaseWriter,
  releaseWriters,
  saveProgress,
  takeUploadSession,
} from './registry/commands/uploads.ts'
import type { AnyCommand } from './storage/metadata/command.ts'

/** Every write command there is. The SQLite writer's thread loads this module and finds them by name. */
export const commands: readonly AnyCommand[] = [
  ensureRegistry,
  beginRegistry,
  createAccount,
  putQuota,
  deleteQuota,
  outlastChanges,
  replaceRootAccessKey,
  createAccessKey,
  recordAccessKeyUses,
  removeAccessKey,
  setAccessKey,
  createAccountAlias,
  deleteAccountAlias,
  addUserToGroup,
  createGroup,
  deleteGroup,
  removeUserFromGroup,
  updateGroup,
  tagEntity,
  untagEntity,
  createOidcProvider,
  deleteOidcProvider,
  updateOidcProvider,
  createPolicy,
  createPolicyVersion,
  deletePolicy,
  deletePolicyVersion,
  setDefaultPolicyVersion,
  attachPolicy,
  deleteInlinePolicy,
  detachPolicy,
  putBoundary,
  putInlinePolicy,
  createRole,
  deleteRole,
  updateRole,
  createUser,
  deleteUser,
  updateUser,
  createSession,
  recordRoleUse,
  sweepSessions,
  createRepository,
  deleteRepository,
  putTagMutability,
  tagResource,
  untagResource,
  putScanOnPush,
  setRepositoryPolicy,
  deleteRepositoryPolicy,
  putRegistryPolicy,
  deleteRegistryPolicy,
  putAccountSetting,
  createCreationTemplate,
  updateCreationTemplate,
  deleteCreationTemplate,
  registerPullTimeExclusion,
  deregisterPullTimeExclusion,
  putManifest,
  deleteTag,
  deleteImages,
  purgeTrash,
  restoreForPull,
  restoreTrash,
  undoTagChange,
  setImageRetirement,
  takeRetirementStep,
  putStepOff,
  updateStorageClass,
  activateForPull,
  finishActivation,
  claimArchiveWork,
  postponeArchiveWork,
  endArchiveWork,
  beginMove,
  endAllMoves,
  endMove,
  settlePlacement,
  switchPlace,
  eraseImages,
  recordReclaimed,
  condemnBlob,
  noteDisk,
  pauseCollection,
  claimReconciliation,
  keepReconciliation,
  releaseReconciliation,
  requestReconciliation,
  reviewForgotten,
  resumeCollection,
  setCollectionRate,
  forgetBlobPlaces,
  promiseBlob,
  mountBlob,
  deleteBlob,
  recordBlobChecksums,
  beginUpload,
  takeUploadSession,
  saveProgress,
  completeUpload,
  endUpload,
  releaseWriter,
  releaseWriters,
  recordPulls,
  putAlarm,
  deleteAlarms,
  setAlarmActions,
  changeAlarmState,
  claimLook,
  noteUse,
  putProtection,
  deleteProtection,
  registerUsageSource,
  updateUsageSource,
  decommissionUsageSource,
  beginUsageSnapshot,
  putUsageLeases,
  completeUsageSnapshot,
  acceptUsageSnapshot,
  placeHold,
  releaseHold,
  compareWithLastStart,
  raiseClockHold,
  recordClock,
  noteDoubtedSources,
  putLifecyclePolicy,
  deleteLifecyclePolicy,
  putRetentionPolicy,
  deleteRetentionPolicy,
  spreadPolicy,
  saveLabels,
  beginPreview,
  savePreviewPages,
  finishPreview,
  claimLifecycle,
  releaseLifecycle,
  keepLifecycle,
  freeLifecycle,
  finishLifecycle,
  planLifecycle,
  beginRun,
  noteRun,
  settleRun,
  giveNotice,
  applyLifecycle,
  askVetoes,
  claimReviewBatch,
  postponeReview,
  reviewManifests,
  reviewRepository,
  reviewSights,
  reviewBlobs,
  forgetLocations,
  quarantineBlob,
  reinstateBlob,
  recountRepository,
  fanOutEvents,
  fanOutTrail,
  forgetTrailPlace,
  dropEvents,
  claimLanes,
  freeLanes,
  settleDelivery,
  releaseLane,
  replayDeadLetters,
  sweepDeadLetters,
  createDestination,
  updateDestination,
  deleteDestination,
  putRule,
  setRuleState,
  deleteRule,
  putTargets,
  removeTargets,
  claimScrub,
  keepScrub,
  releaseScrub,
  forgetSealedChanges,
]
