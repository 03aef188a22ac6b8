import { expect, it } from 'vitest'
import { commandContext } from '../../src/registry/index.ts'
import { raiseClockHold } from '../../src/registry/commands/holds.ts'
import { databases } from '../support/registry.ts'
import { dayMs, startLifecycle } from './lifecycle-world.ts'

it.each(databases)('removes nothing by a clock that was just set, whoever notices first, on %s', async (kind) => {
  let jumpMs = 0
  const world = await startLifecycle(kind, {
    lookAtClocks: ({ database, context }) => (jumpMs === 0 ? Promise.resolve() : database.execute(raiseClockHold, { jumpMs }, commandContext(context))),
  })
  try {
    const { name, images } = await world.newRepository()
    await world.push(name, images.one!)
    await world.push(name, images.two!, 'latest')
    await world.put(name, { tagStatus: 'untagged', countType: 'sinceImagePushed', countUnit: 'days', countNumber: 30 })
    await world.sweep()
    jumpMs = 31 * dayMs
    world.fixture.clock.advance(jumpMs)

    await world.sweep()

    expect((await world.listed(name)).size).toBe(2)
  } finally {
    await world.stop()
  }
})
