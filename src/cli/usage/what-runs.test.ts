import { describe, expect, it } from 'vitest'
import { readWhatRuns } from './what-runs.ts'

const [one, two, three, four] = ['1', '2', '3', '4'].map((digit) => `sha256:${digit.repeat(64)}`) as [string, string, string, string]

function pod(name: string, more: { owner?: string; phase?: string; images?: readonly string[]; imageIds?: readonly string[]; init?: string } = {}) {
  return {
    metadata: { name, namespace: 'shop', ...(more.owner !== undefined && { ownerReferences: [{ kind: 'ReplicaSet', name: more.owner, controller: true }] }) },
    spec: { containers: (more.images ?? ['app:1']).map((image) => ({ image })) },
    status: {
      phase: more.phase ?? 'Running',
      containerStatuses: (more.imageIds ?? []).map((imageID) => ({ image: 'app:1', imageID })),
      ...(more.init !== undefined && { initContainerStatuses: [{ imageID: more.init }] }),
    },
  }
}

describe('what runs is read', () => {
  it('of pods as kubectl lists them, by whatever name their runtime gives an image', () => {
    const items = [
      pod('web-1', { owner: 'web', imageIds: [`docker-pullable://registry.example/team/app@${one}`, two] }),
      pod('web-2', { owner: 'web', imageIds: [`registry.example/team/app@${one}`], init: `registry.example/init@${three}` }),
      pod('starting', { phase: 'Pending', images: [`registry.example/new@${four}`] }),
      pod('done', { phase: 'Succeeded', imageIds: [two] }),
    ]
    expect(readWhatRuns(JSON.stringify({ kind: 'List', apiVersion: 'v1', items }))).toEqual({
      leases: [
        { imageDigest: one, workload: 'shop/ReplicaSet/web' },
        { imageDigest: two, workload: 'shop/ReplicaSet/web' },
        { imageDigest: three, workload: 'shop/ReplicaSet/web' },
        { imageDigest: four, workload: 'shop/Pod/starting' },
      ],
    })
  })

  it('of leases, and of lines', () => {
    const leases = [{ imageDigest: one, workload: 'cron', repositoryName: 'team/app', until: 5 }]
    expect(readWhatRuns(JSON.stringify(leases))).toEqual({ leases })
    expect(readWhatRuns(`# what runs\n${one} web server\nhost:5000/team/app@${two}\n\n${one} web server\n`)).toEqual({
      leases: [
        { imageDigest: one, workload: 'web server' },
        { imageDigest: two, workload: 'unnamed' },
      ],
    })
    expect(readWhatRuns('\n')).toEqual({ leases: [] })
  })

  it.each([
    ['{"kind":"List","items":[', 'cut off'],
    ['{"kind":"Status","message":"forbidden"}', 'neither a list of pods'],
    ['{"kind":"List","items":[{"metadata":{}}]}', 'no pod'],
    ['[{"imageDigest":"sha256:1","workload":"x"}]', 'lease 1 has no imageDigest'],
    [`[{"imageDigest":"sha256:${'1'.repeat(64)}"}]`, 'lease 1 has no workload'],
    ['error: You must be logged in to the server', 'line 1 does not begin with a digest'],
  ])('not of %s', (text, problem) => {
    expect(readWhatRuns(text)).toEqual({ problem: expect.stringContaining(problem) })
  })
})
