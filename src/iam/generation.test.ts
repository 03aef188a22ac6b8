import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { databases, startRegistry, type RegistryFixture } from '../../test/support/registry.ts'
import { commandContext } from '../registry/index.ts'
import { createGroup } from './commands/groups.ts'
import { IamGeneration } from './generation.ts'

describe.each(databases)('the IAM generation on %s', (kind) => {
  let fixture: RegistryFixture
  let groups = 0

  beforeAll(async () => {
    fixture = await startRegistry(kind)
    for (const account of accounts.slice(1)) await fixture.tamper('insert into account (account_id, created_at) values (?, 0)', account)
  })
  afterAll(() => fixture.stop())

  const accounts = ['000000000000', '111111111111', '222222222222']

  /** Which accounts' facts, read when the value was `readAt`, still hold. */
  const held = (generation: IamGeneration, readAt: number): boolean[] => accounts.map((account) => generation.holds(readAt, account))

  async function advance(...changed: number[]): Promise<void> {
    // A transaction of its own for each, as commands are.
    for (const index of changed) {
      groups += 1
      const context = { ...commandContext(fixture.context), accountId: accounts[index]! }
      await fixture.database.execute(createGroup, { name: `group-${groups}`, path: '/', uniqueId: `AGPA${groups}` }, context)
    }
  }

  it('says of which accounts what was read still holds', async () => {
    await advance(0, 1)
    const generation = new IamGeneration(fixture.database)
    await generation.refresh()
    const first = generation.value
    expect(held(generation, first)).toEqual([true, true, true])

    await advance(1)
    expect(held(generation, first)).toEqual([true, true, true])
    await generation.refresh()
    expect(held(generation, first)).toEqual([true, false, true])
    const second = generation.value
    expect(held(generation, second)).toEqual([true, true, true])

    await advance(0, 0, 2)
    await generation.refresh()
    expect(held(generation, first)).toEqual([false, false, false])
    expect(held(generation, second)).toEqual([false, true, false])
  })

  it('says that nothing holds after a change of which nobody says where it was', async () => {
    const generation = new IamGeneration(fixture.database)
    await generation.refresh()
    const before = generation.value
    await fixture.tamper('update iam_generation set value = value + 1')
    await advance(1)
    await generation.refresh()

    expect(held(generation, before)).toEqual([false, false, false])
    const after = generation.value
    await advance(2)
    await generation.refresh()
    expect(held(generation, after)).toEqual([true, true, false])
  })

  it('misses no change, whoever looks at the same time', async () => {
    const generation = new IamGeneration(fixture.database)
    let value = -1
    for (let round = 0; round < 20; round += 1) {
      const readAt = generation.value
      const changed = round % 3
      const look = async (): Promise<void> => generation.refresh()
      await Promise.all([look(), advance(changed), look()])
      await generation.refresh()
      if (readAt !== -1) expect(held(generation, readAt)[changed]).toBe(false)
      expect(generation.value).toBeGreaterThan(value)
      value = generation.value
    }
  })
})
