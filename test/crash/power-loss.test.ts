import { execFileSync } from 'node:child_process'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { Kept } from '../support/fault-disk/crash-model.ts'
import type { DiskEvent } from '../support/fault-disk/recording.ts'
import { checkCrashes, type CrashCheck } from './crash-check.ts'
import { createTestFolders, dataFolder, recordingOf, startRecorded, type Recording, type TestFolders } from './recorded-server.ts'
import { runScenario, type Story } from './scenario.ts'

/*
 * One run of a real server, recorded call by call, and then every crash it could have had: at each moment of the
 * recording, whatever the kernel may have kept of what was not flushed.
 */

const randomStatesPerMoment = Number(process.env['CRASH_STATES'] ?? 2)

let folders: TestFolders
let rootDir: string
let recording: Recording
let stories: Story[]

beforeAll(async () => {
  folders = createTestFolders('power-loss')
  rootDir = folders.make('root')
  const { stowage, disk } = await startRecorded(rootDir, folders.make('scratch'))
  stories = await Promise.all(['alice', 'bob'].map((client) => runScenario(stowage, client)))
  stowage.kill('SIGKILL')
  await stowage.exited
  recording = recordingOf(disk)
})
afterAll(() => {
  folders.remove()
})

function allKept(moment: number): Kept[] {
  const random = Array.from({ length: randomStatesPerMoment }, (_, n) => ({ seed: `${moment} ${n}` }))
  return ['everything', 'nothing', 'names', 'data', ...random]
}

function check(options: Partial<CrashCheck> = {}) {
  return checkCrashes({ ...recording, stories, kept: allKept, scratchDir: folders.path, dataDir: dataFolder, ...options })
}

describe('the recording', () => {
  it('misses no change: replayed, it is the folder', () => {
    const model = recording.newModel()
    for (const event of recording.events) model.apply(event)
    const replayed = folders.make('replayed')
    model.crash('everything').writeTo(replayed)

    execFileSync('diff', ['--recursive', '--exclude=*-shm', rootDir, replayed])
  })

  it('has every answer that a client saw', () => {
    const answers = recording.events.flatMap((event) => (event.operation === 'answer' ? [event.requestId] : []))

    for (const { steps } of stories) {
      for (const step of steps) expect(answers, step.name).toContain(step.requestId)
    }
  })
})

describe('a server that crashes', () => {
  it('keeps what it answered, and nothing by halves, whenever it dies and whatever the disk kept', async () => {
    const report = await check()

    console.log(`${report.moments} moments, ${report.states} states, ${report.distinctStates} of them different`)
    expect(report.broken.slice(0, 10)).toEqual([])
    expect(report.distinctStates).toBeGreaterThan(500)
  })
})
