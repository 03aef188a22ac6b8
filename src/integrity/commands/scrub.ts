import { defineCommand } from '../../storage/metadata/command.ts'
import { claimJob, keepJob, releaseJob } from '../../storage/metadata/stores/job-store.ts'

/** The one scrub of an installation, however many servers it has. */
export const scrubJob = { kind: 'scrub', key: 'blobs' } as const

/*
 * None of them is `durable`: what a power cut takes of the progress is read again.
 */

/** Takes the scrub's lease until `until`, and answers its state as JSON. Undefined: not due, or another server's. */
export const claimScrub = defineCommand({
  name: 'claim-scrub',
  durability: 'process',
  run: (tx, input: { owner: string; until: number }, context): Promise<string | undefined> =>
    claimJob(tx, { ...scrubJob, ...input, firstPayload: '{}', now: context.nowMs }),
})

/** Saves the state and renews the lease. False: it is another server's by now. */
export const keepScrub = defineCommand({
  name: 'keep-scrub',
  durability: 'process',
  run: (tx, input: { owner: string; payload: string; until: number }): Promise<boolean> => keepJob(tx, { ...scrubJob, ...input }),
})

/** Saves the state and gives the lease back. False: it is another server's by now. */
export const releaseScrub = defineCommand({
  name: 'release-scrub',
  durability: 'process',
  run: (tx, input: { owner: string; payload: string; runAfter: number }): Promise<boolean> =>
    releaseJob(tx, { ...scrubJob, ...input }),
})
