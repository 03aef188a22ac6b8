import { readdirSync, readFileSync, writeFileSync } from 'node:fs'

/** USER_HZ: what Linux shows to programs, whatever the kernel's own tick is. */
const ticksPerSecond = 100

/** CPU time a process has used so far, all its threads together, without its children. */
export function cpuSecondsOf(pid: number): number {
  const [userTicks, systemTicks] = statFields(pid)
  return (userTicks! + systemTicks!) / ticksPerSecond
}

/** CPU time of this process's children that have ended. */
export function endedChildrenCpuSeconds(): number {
  const [, , userTicks, systemTicks] = statFields(process.pid)
  return (userTicks! + systemTicks!) / ticksPerSecond
}

/** CPU time that anybody has used on this machine so far, and what the hypervisor kept from it. */
export function machineCpuSeconds(): number {
  const [user, nice, system, , , irq, softirq, steal] = readFileSync('/proc/stat', 'utf8').split('\n', 1)[0]!.split(/\s+/).slice(1).map(Number)
  return (user! + nice! + system! + irq! + softirq! + steal!) / ticksPerSecond
}

/** What the hypervisor has kept from this machine's processors so far (proc(5), stat: steal). */
export function stolenSeconds(): number {
  return Number(readFileSync('/proc/stat', 'utf8').split('\n', 1)[0]!.split(/\s+/)[8]) / ticksPerSecond
}

/** The most memory a process has held since `forgetPeakMemory`. */
export function peakMemoryBytes(pid: number): number {
  const kibibytes = /^VmHWM:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]
  return Number(kibibytes) * 1024
}

export function forgetPeakMemory(pid: number): void {
  // proc(5): 5 sets the peak to what is held now.
  writeFileSync(`/proc/${pid}/clear_refs`, '5')
}

/** What a process holds now, pages that it shares with others by their share (proc(5), smaps_rollup: Pss). */
export function proportionalMemoryBytes(pid: number): number {
  const kibibytes = /^Pss:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8'))?.[1]
  return Number(kibibytes) * 1024
}

/** What a process holds now, without files (proc(5), status: RssAnon); 0 when it has ended. Cheap: nothing is counted for it. */
export function ownMemoryBytes(pid: number): number {
  try {
    return Number(/^RssAnon:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? 0) * 1024
  } catch {
    return 0
  }
}

/** What a process has made the kernel write to the disk so far, or will (proc(5), io: write_bytes). */
export function writtenBytes(pid: number): number {
  return Number(/^write_bytes: (\d+)$/m.exec(readFileSync(`/proc/${pid}/io`, 'utf8'))?.[1])
}

/** The processes that a process has started and that have not ended (proc(5), task/[tid]/children: each thread has its own). */
export function childrenOf(pid: number): number[] {
  return readdirSync(`/proc/${pid}/task`).flatMap((thread) => {
    try {
      return readFileSync(`/proc/${pid}/task/${thread}/children`, 'utf8').split(' ').filter(Boolean).map(Number)
    } catch {
      // The thread has ended.
      return []
    }
  })
}

/** utime, stime, cutime and cstime of proc(5). */
function statFields(pid: number): number[] {
  const text = readFileSync(`/proc/${pid}/stat`, 'utf8')
  // The second field is the program's name, which may hold anything.
  return text.slice(text.lastIndexOf(')') + 2).split(' ').slice(11, 15).map(Number)
}
