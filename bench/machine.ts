import { execFileSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { availableParallelism, cpus, loadavg, release, tmpdir, totalmem } from 'node:os'
import { projectDir } from '../test/support/tools.ts'

/** What the numbers depend on, as lines of a table; nothing that names this machine or its folders. */
export function describeMachine(): readonly (readonly [string, string])[] {
  return [
    ['CPU', `${availableParallelism()} × ${cpus()[0]?.model ?? 'unknown'}`],
    ['Memory', `${Math.round(totalmem() / 2 ** 30)} GiB`],
    ['Disk', describeDisk(tmpdir())],
    ['Kernel', `Linux ${release()}`],
    ['Node', process.version],
    ['Commit', commit()],
    ['Load before the run', loadavg().map((load) => load.toFixed(2)).join(', ')],
  ]
}

function describeDisk(path: string): string {
  const { type, source } = mountOf(path)
  const disk = source.replace(/^\/dev\//, '').replace(/p?\d+$/, '')
  const rotationalFile = `/sys/block/${disk}/queue/rotational`
  if (!existsSync(rotationalFile)) return type
  if (disk.startsWith('nvme')) return `${type} on an NVMe disk`
  // A virtual disk says nothing true about what turns below it.
  if (disk.startsWith('vd') || disk.startsWith('xvd')) return `${type} on a virtual disk`
  return `${type} on a ${readFileSync(rotationalFile, 'utf8').trim() === '0' ? 'solid-state' : 'rotational'} disk`
}

/** The file system that holds a path. */
export function mountOf(path: string): { readonly type: string; readonly source: string } {
  const output = execFileSync('findmnt', ['--noheadings', '--output', 'FSTYPE,SOURCE', '--target', path], { encoding: 'utf8' })
  const [type = 'unknown', source = ''] = output.trim().split(/\s+/)
  return { type, source }
}

function commit(): string {
  const git = (...args: string[]): string => execFileSync('git', args, { cwd: projectDir, encoding: 'utf8' }).trim()
  try {
    const changed = git('status', '--porcelain', '--', 'src', 'package-lock.json') !== ''
    return `${git('rev-parse', '--short=12', 'HEAD')}${changed ? ', with uncommitted changes' : ''}`
  } catch {
    return 'unknown'
  }
}
