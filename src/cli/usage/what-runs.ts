import { isDigest } from '../../values/index.ts'

/** A lease as the service takes it. */
export interface ReportedLease {
  readonly imageDigest: string
  readonly workload: string
  readonly repositoryName?: string
  readonly environment?: string
  /** Seconds since 1970. */
  readonly until?: number
}

/** What can be read of a file that says what runs; `problem` says in which form it is none. */
export type WhatRuns = { readonly leases: readonly ReportedLease[] } | { readonly problem: string }

interface Container {
  readonly image?: string
  readonly imageID?: string
}

interface Pod {
  readonly metadata?: {
    readonly name?: string
    readonly namespace?: string
    readonly ownerReferences?: readonly { readonly kind?: string; readonly name?: string; readonly controller?: boolean }[]
  }
  readonly spec?: Readonly<Record<string, unknown>>
  readonly status?: Readonly<Record<string, unknown>> & { readonly phase?: string }
}

/**
 * Reads a report: the list of pods that kubectl gives as JSON, a list of leases as JSON, or lines of a digest and a workload.
 * A part of it that cannot be understood makes the whole a problem: half of what runs is worse than nothing. Each lease comes once.
 */
export function readWhatRuns(text: string): WhatRuns {
  const trimmed = text.trim()
  const found = trimmed.startsWith('{') || trimmed.startsWith('[') ? readJson(trimmed) : readLines(trimmed)
  if ('problem' in found) return found
  const distinct = new Map(found.leases.map((lease) => [`${lease.imageDigest} ${lease.repositoryName ?? ''} ${lease.workload}`, lease]))
  return { leases: [...distinct.values()] }
}

function readJson(text: string): WhatRuns {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    return { problem: 'it begins as JSON and is none: was it cut off?' }
  }
  if (Array.isArray(value)) return readLeases(value)
  const { kind, items } = value as { readonly kind?: unknown; readonly items?: unknown }
  if ((kind === 'List' || kind === 'PodList') && Array.isArray(items)) return readPods(items as Pod[])
  return { problem: 'it is JSON, and neither a list of pods nor a list of leases' }
}

function readLeases(values: readonly unknown[]): WhatRuns {
  const leases: ReportedLease[] = []
  for (const [index, value] of values.entries()) {
    const { imageDigest, workload } = (typeof value === 'object' && value !== null ? value : {}) as Partial<ReportedLease>
    if (typeof imageDigest !== 'string' || !isDigest(imageDigest)) return { problem: `its lease ${index + 1} has no imageDigest that is one` }
    if (typeof workload !== 'string' || workload === '') return { problem: `its lease ${index + 1} has no workload` }
    leases.push(value as ReportedLease)
  }
  return { leases }
}

function readLines(text: string): WhatRuns {
  const leases: ReportedLease[] = []
  for (const [index, line] of text.split('\n').entries()) {
    const words = line.trim()
    if (words === '' || words.startsWith('#')) continue
    const [reference = '', ...rest] = words.split(/\s+/u)
    const imageDigest = digestIn(reference)
    if (imageDigest === undefined) return { problem: `its line ${index + 1} does not begin with a digest` }
    leases.push({ imageDigest, workload: rest.join(' ') || 'unnamed' })
  }
  return { leases }
}

const statusLists = ['initContainerStatuses', 'containerStatuses', 'ephemeralContainerStatuses'] as const
const specLists = ['initContainers', 'containers', 'ephemeralContainers'] as const

/** What the containers of pods have, and what they are about to have where that is named by a digest. */
function readPods(pods: readonly Pod[]): WhatRuns {
  const leases: ReportedLease[] = []
  for (const pod of pods) {
    const { metadata = {}, spec = {}, status = {} } = pod
    if (metadata.name === undefined) return { problem: 'one of its items is no pod: write kubectl get pods' }
    // It has run, and nothing of it will run again.
    if (status.phase === 'Succeeded' || status.phase === 'Failed') continue
    const owner = metadata.ownerReferences?.find(({ controller }) => controller === true)
    const workload = `${metadata.namespace ?? 'default'}/${owner?.kind ?? 'Pod'}/${owner?.name ?? metadata.name}`
    const containers = [...listsOf(status, statusLists), ...listsOf(spec, specLists)]
    for (const imageDigest of new Set(containers.flatMap(({ imageID = '', image = '' }) => [digestIn(imageID) ?? [], digestIn(image) ?? []].flat()))) {
      leases.push({ imageDigest, workload })
    }
  }
  return { leases }
}

function listsOf(from: Readonly<Record<string, unknown>>, names: readonly string[]): Container[] {
  return names.flatMap((name) => (from[name] as Container[] | undefined) ?? [])
}

/** The digest of `sha256:…`, `host/name@sha256:…` or `docker-pullable://host/name@sha256:…`. */
function digestIn(reference: string): string | undefined {
  const text = reference.slice(reference.lastIndexOf('@') + 1).replace(/^.*:\/\//u, '')
  return isDigest(text) ? text : undefined
}
