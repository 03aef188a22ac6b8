import { CloudWatchLogs } from '@aws-sdk/client-cloudwatch-logs'
import { expect, test } from 'vitest'
import { createDatabase } from '../support/postgres.ts'
import { startStowage } from '../support/start-stowage.ts'
import { createTempDir } from '../support/temp-dir.ts'

const writers = 6
const linesOfCall = 20
const callsBeforeKill = 60

test.each(['sqlite', 'postgres'] as const)('on %s, a server that is killed keeps every line that it has answered for, and no part of a call', async (database) => {
  const dir = createTempDir('killed-logs')
  const options = { dataDir: dir.path, ...(database === 'postgres' && { databaseUrl: (await createDatabase()).url }) }
  let stowage = await startStowage(options)
  const { keys, port } = stowage
  const logs = new CloudWatchLogs({ endpoint: stowage.url, region: 'us-east-1', credentials: keys, maxAttempts: 1 })
  try {
    await logs.createLogGroup({ logGroupName: 'kept' })
    await logs.createLogGroup({ logGroupName: 'deleted' })
    const answered: string[] = []
    let isKilled = false
    const write = async (writer: number): Promise<void> => {
      const logStreamName = `s-${writer}`
      await logs.createLogStream({ logGroupName: 'kept', logStreamName })
      for (let call = 0; ; call += 1) {
        const lines = Array.from({ length: linesOfCall }, (_, n) => `${writer} ${call} ${n}`)
        try {
          await logs.putLogEvents({ logGroupName: 'kept', logStreamName, logEvents: lines.map((message) => ({ timestamp: Date.now(), message })) })
        } catch (error) {
          if (isKilled) return
          throw error
        }
        answered.push(...lines)
      }
    }
    const writing = Promise.all(Array.from({ length: writers }, (_, writer) => write(writer)))
    const isReached = async () => {
      while (answered.length < callsBeforeKill * linesOfCall) await new Promise((resolve) => setTimeout(resolve, 2))
    }
    await Promise.race([writing, isReached()])
    // What it has to remove is removed by the next one.
    await logs.deleteLogGroup({ logGroupName: 'deleted' })
    isKilled = true
    stowage.kill('SIGKILL')
    await Promise.all([writing, stowage.exited])
    stowage = await startStowage({ ...options, keys, port })

    const found: string[] = []
    let nextToken: string | undefined
    do {
      const page = await logs.filterLogEvents({ logGroupName: 'kept', nextToken })
      found.push(...page.events!.map(({ message }) => message!))
      nextToken = page.nextToken
    } while (nextToken !== undefined)
    const kept = new Set(found)
    expect(kept.size).toBe(found.length)
    expect(answered.filter((line) => !kept.has(line))).toEqual([])
    const calls = Map.groupBy(found, (line) => line.split(' ').slice(0, 2).join(' '))
    expect([...calls.values()].filter((lines) => lines.length !== linesOfCall)).toEqual([])
    const { logGroups } = await logs.describeLogGroups({})
    expect(logGroups).toMatchObject([{ logGroupName: 'kept', storedBytes: found.reduce((sum, line) => sum + line.length + 26, 0) }])
  } finally {
    logs.destroy()
    await stowage.stop()
    dir.remove()
  }
})
