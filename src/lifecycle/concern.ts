import type { Decisions } from './policy/index.ts'

/** When a run waits for somebody's confirmation. */
export interface RunCaution {
  /** False: never, as in ECR. */
  readonly isOn: boolean
  /** More than this share of a repository's images in one run, in percent. */
  readonly maxSharePercent: number
  /** So few go without asking, whatever their share: but never everything there is. */
  readonly alwaysAllowed: number
}

/**
 * Why somebody should look at a run before it removes or archives anything: it would empty the repository, or take a large share of it, or
 * it acts by policies that were just changed and would take `surprising` images that the ones before had left alone. Undefined:
 * nothing speaks against it.
 */
export function concernAbout(decisions: Decisions, surprising: number | undefined, caution: RunCaution): string | undefined {
  if (!caution.isOn) return undefined
  const { imageCount, expireCount, transitionCount } = decisions
  const count = expireCount + transitionCount
  const verb = transitionCount === 0 ? 'remove' : expireCount === 0 ? 'archive' : 'remove or archive'
  if (count === imageCount && count > 1) return `it would ${verb} all ${imageCount} images of the repository`
  const share = (100 * count) / imageCount
  if (count > caution.alwaysAllowed && share > caution.maxSharePercent) {
    return `it would ${verb} ${count} of ${imageCount} images, which is more than ${caution.maxSharePercent} %`
  }
  if (surprising === undefined || surprising === 0) return undefined
  return `the policy was changed, and would ${verb} ${surprising} ${surprising === 1 ? 'image' : 'images'} that the one before had left alone`
}
