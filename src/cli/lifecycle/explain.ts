import { exitCodes } from '../../config/exit-codes.ts'
import type { AwsOptions } from '../aws/settings.ts'
import { connectToStowage, isoTime, jsonText } from '../aws/stowage-calls.ts'
import type { CommandIo } from '../command-io.ts'

/** As the service answers it; times are seconds since the epoch. */
interface Explanation {
  readonly repositoryName: string
  readonly imageDigest: string
  readonly state: string
  readonly text: string
  readonly verdicts: readonly { readonly rule: number; readonly name?: string; readonly policy: string; readonly at?: number; readonly text: string }[]
  readonly vetoes: readonly string[]
  readonly trash?: { readonly batch: string; readonly since: number; readonly until: number; readonly by: string }
}

/** Says why an image is there, or is not any more, and what becomes of it. */
export async function explain(
  io: CommandIo,
  options: AwsOptions & { readonly json: boolean; readonly image: { readonly repository: string; readonly tag: string | undefined; readonly digest: string | undefined } },
): Promise<number> {
  const { repository, tag, digest } = options.image
  const call = await connectToStowage(options)
  const answer = await call<Explanation>('ExplainImage', { repositoryName: repository, imageTag: tag, imageDigest: digest })
  io.stdout.write(options.json ? jsonText(forPeople(answer)) : explanationText(answer))
  return exitCodes.ok.code
}

function explanationText({ repositoryName, imageDigest, text, verdicts }: Explanation): string {
  return `${[`${repositoryName}@${imageDigest}`, text, ...verdicts.map((verdict) => `  ${ruleOf(verdict)} of ${verdict.policy}: ${verdict.text}`)].join('\n')}\n`
}

/** ECR's rules have no names but `rule 1` and so on. */
function ruleOf({ rule, name = `rule ${rule}` }: Explanation['verdicts'][number]): string {
  return name === `rule ${rule}` ? name : `rule ${name}`
}

function forPeople({ verdicts, trash, ...answer }: Explanation): object {
  return {
    ...answer,
    verdicts: verdicts.map(({ at, ...verdict }) => ({ ...verdict, ...(at !== undefined && { at: isoTime(at) }) })),
    ...(trash !== undefined && { trash: { ...trash, since: isoTime(trash.since), until: isoTime(trash.until) } }),
  }
}
