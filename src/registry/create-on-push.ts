import { isPlatformError } from '../internal/platform-error.ts'

/**
 * Runs a step of a push; where it finds no repository and `create` makes one, runs it again. A push into a repository that
 * is there costs nothing by it. `push` must have left nothing behind when it finds none, nor have read the request's body.
 *
 * @throws what `push` and `requireRightsAnew` throw; the first time's `repository-unknown` where none is made
 */
export async function pushCreating<Result>(
  push: () => Promise<Result>,
  create: () => Promise<boolean>,
  requireRightsAnew: () => Promise<void>,
): Promise<Result> {
  try {
    return await push()
  } catch (error) {
    if (!isPlatformError(error, 'repository-unknown') || !(await create())) throw error
  }
  // The push was allowed while there was neither a policy nor tags of the repository.
  await requireRightsAnew()
  return push()
}
