import { exitCodes } from '../config/exit-codes.ts'
import type { AwsOptions } from './aws/settings.ts'
import { connectToStowage, everyPage, isoTime, jsonText, tableText } from './aws/stowage-calls.ts'
import type { CommandIo } from './command-io.ts'

export interface ProtectOptions extends AwsOptions {
  readonly json: boolean
  readonly repository: string
  readonly tag: string | undefined
  readonly digest: string | undefined
}

/** As the service answers it. */
interface Protection {
  readonly repositoryName: string
  readonly protects: 'tag' | 'digest' | 'repository'
  readonly imageTag?: string
  readonly imageDigest?: string
  readonly reason: string
  readonly owner: string
  readonly createdAt: number
  readonly createdBy: string
  readonly endsAt?: number
}

export async function addProtection(
  io: CommandIo,
  options: ProtectOptions & { readonly reason: string; readonly owner: string | undefined; readonly until: Date | undefined },
): Promise<number> {
  const call = await connectToStowage(options)
  const { reason, owner, until } = options
  const endsAt = until === undefined ? undefined : until.getTime() / 1000
  const { protection } = await call<{ protection: Protection }>('PutProtection', { ...targetOf(options), reason, owner, endsAt })
  if (options.json) io.stdout.write(jsonText(forPeople(protection)))
  else {
    io.stdout.write(`${nameOf(protection)} of ${protection.repositoryName} is protected${protection.endsAt === undefined ? '' : ` until ${isoTime(protection.endsAt)}`}.\n`)
    if (protection.protects === 'tag' && protection.imageDigest === undefined) io.stderr.write(`note: ${protection.repositoryName} has no such tag yet; it is protected as soon as it is pushed.\n`)
  }
  return exitCodes.ok.code
}

export async function removeProtection(io: CommandIo, options: ProtectOptions): Promise<number> {
  const call = await connectToStowage(options)
  const { protection } = await call<{ protection: Protection }>('DeleteProtection', targetOf(options))
  io.stdout.write(options.json ? jsonText(forPeople(protection)) : `${nameOf(protection)} of ${protection.repositoryName} is no longer protected.\n`)
  return exitCodes.ok.code
}

export async function listProtections(io: CommandIo, options: ProtectOptions): Promise<number> {
  const call = await connectToStowage(options)
  const found = await everyPage(call, 'ListProtections', { repositoryName: options.repository }, (page) => page['protections'] as Protection[])
  if (options.json) io.stdout.write(jsonText(found.map(forPeople)))
  else {
    const rows = found.map((each) => [nameOf(each), each.endsAt === undefined ? 'never' : isoTime(each.endsAt).slice(0, 16), each.owner, each.reason])
    io.stdout.write(tableText(['protects', 'ends', 'owner', 'reason'], rows))
  }
  return exitCodes.ok.code
}

function targetOf({ repository, tag, digest }: ProtectOptions) {
  return { repositoryName: repository, imageTag: tag, imageDigest: digest }
}

function nameOf({ protects, imageTag = '', imageDigest = '' }: Protection): string {
  return protects === 'repository' ? 'everything' : protects === 'tag' ? `tag ${imageTag}` : imageDigest
}

function forPeople({ createdAt, endsAt, ...protection }: Protection): object {
  return { ...protection, createdAt: isoTime(createdAt), ...(endsAt !== undefined && { endsAt: isoTime(endsAt) }) }
}
