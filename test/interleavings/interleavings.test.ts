import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { databases } from '../support/registry.ts'
import { anyAction, makeRepositories, ownWork, restoreEverything, spans, type Action, type Scene, type Theme } from './actions.ts'
import { wrongIn, wrongInArchive } from './checks.ts'
import { History } from './history.ts'
import { catalogueOf } from './images.ts'
import { Chance, Turns } from './turns.ts'
import { World } from './world.ts'

/*
 * Clients and the server's own work meet in every order that a seed can think of: each stops before every command and
 * every call of the storage, and chance says who goes on. Now and then the process is killed between two such steps.
 * Afterwards everything that anybody was promised has to hold.
 */

const seed = Number(process.env.SEED ?? 20_261_125)
const countOf = { sqlite: Number(process.env.HISTORIES ?? 120), postgres: Number(process.env.HISTORIES ?? 40) }

/** Of a history: all pieces of work of a round meet each other, and time may pass between two rounds. */
const rounds = 4

/** Who plays thousands of histories is told after as many how far they are. */
const toldEvery = 1000

describe.each(databases)('on %s', (kind) => {
  let world: World

  beforeAll(async () => {
    world = await World.open(kind)
  })
  afterAll(() => world.close())

  it(`keeps every promise in ${countOf[kind]} random histories`, { timeout: 3_600_000 }, async () => {
    for (let number = 0; number < countOf[kind]; number += 1) {
      const problem = await play(world, seed + number)
      if (problem !== undefined) expect.fail(problem)
      await forget(world, seed + number)
      if ((number + 1) % toldEvery === 0) process.stderr.write(`${kind}: ${number + 1} of ${countOf[kind]} histories, ${Math.round(performance.now() / 1000)} s\n`)
    }
    await reclaimEverything(world)
    expect(await whatIsLeft(world)).toEqual({ files: [], rows: {} })
  })
})

async function registerSource(world: World, name: string, scope: readonly string[]): Promise<void> {
  const principalArn = world.context.actor.arn
  await world.process.sources.register(world.context, name, { principalArn, kind: 'test', environment: 'test', scope, intervalMs: 24 * 60 * 60 * 1000, shrinkPercent: 100 })
}

/** Deletes what a history has left, so that in the end nothing has a reason to stay. */
async function forget(world: World, historySeed: number): Promise<void> {
  const { protections, sources } = world.process
  await sources.decommission(world.context, `source-${historySeed}`, 'the history is over').catch(() => undefined)
  for (const name of catalogueOf(`h${historySeed}`).repositories) {
    for (const { target } of (await protections.list(world.context, name, { limit: 100 }).catch(() => ({ items: [] }))).items) await protections.delete(world.context, name, target)
    if (await world.process.registry.findRepository(world.context, name)) await world.process.registry.deleteRepository(world.context, name, { force: true })
  }
}

/** Lets as much time pass as anything can be kept for, and collects until there is nothing left to do. */
async function reclaimEverything(world: World): Promise<void> {
  for (let round = 0; round < 5; round += 1) {
    world.fixture.clock.advance(30 * 24 * 60 * 60 * 1000)
    await world.process.archivist.work()
    await world.process.collector.collect()
  }
}

async function whatIsLeft(world: World): Promise<{ files: string[]; rows: Record<string, number> }> {
  const files: string[] = []
  for await (const { key } of world.process.blobStore.list()) files.push(key)
  const { reader } = world.fixture.database
  const rows: Record<string, number> = {}
  for (const table of ['manifest', 'manifest_payload', 'manifest_reference', 'tag', 'trashed_tag', 'blob', 'blob_location', 'repository_blob', 'review'] as const) {
    const [counted] = await reader.query(reader.builder.selectFrom(table).select((eb) => eb.fn.countAll<number>().as('count')))
    if (Number(counted?.count) > 0) rows[table] = Number(counted?.count)
  }
  return { files, rows }
}

/** Plays the history of a seed: undefined if nothing is wrong with it, else everything there is to know. */
async function play(world: World, historySeed: number): Promise<string | undefined> {
  const chance = new Chance(historySeed)
  const catalogue = catalogueOf(`h${historySeed}`)
  const history = new History()
  const story: string[] = []
  let turns = new Turns(chance)
  world.goBy(turns)
  await makeRepositories({ world, catalogue })
  const source = `source-${historySeed}`
  let snapshots = 0
  const theme = chance.pick<Theme>(['policies', 'collection', 'anything'])
  story.push(`about ${theme}`)
  const nextSnapshot = (): number => (snapshots += 1)
  // Not in each: from its registration on, a source that has not reported holds everything back.
  if (chance.is(0.5)) await registerSource(world, source, catalogue.repositories)
  for (let round = 0; round < rounds; round += 1) {
    if (round > 0) {
      const hours = chance.is(0.7) ? chance.pick(spans) : 0
      world.fixture.clock.advance(hours * 60 * 60 * 1000)
      story.push(`${hours} hours pass`)
      turns = new Turns(chance, turns.log)
      world.goBy(turns)
    }
    const scene: Scene = { world, catalogue, history, turns, chance, source, nextSnapshot, theme }
    const actors: Record<string, () => Promise<void>> = {}
    for (let actor = 0; actor < 2 + chance.below(2); actor += 1) {
      const actions: Action[] = Array.from({ length: 1 + chance.below(2) }, () => anyAction(scene))
      story.push(`${round}.${actor}: ${actions.map(({ says }) => says).join('; then ')}`)
      actors[`${round}.${actor}`] = async () => {
        try {
          for (const action of actions) await action.run(scene)
        } catch (error) {
          history.broken.push(`an action failed: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`)
        }
      }
    }
    // The server's own work goes on beside clients, most of the time.
    for (const [name, work, probability] of ownWork(theme)) {
      if (!chance.is(probability)) continue
      story.push(`${round}.${name}: ${work.says}`)
      actors[`${round}.${name}`] = () => work.run(scene)
    }
    const end = await turns.run(actors, chance.is(0.3) ? 5 + chance.below(80) : undefined)
    if (end === 'killed') {
      story.push('killed')
      await world.restart()
    }
    const wrong = await wrongIn(world, catalogue, history)
    if (wrong.length > 0) return [`seed ${historySeed}:`, ...wrong, 'story:', ...story, 'turns:', ...turns.log].join('\n')
  }
  // Not always: what nobody brings back has to be reclaimed as well.
  if (chance.is(0.5)) await restoreEverything({ world, catalogue, history })
  const wrong = [...(await wrongInArchive(world, catalogue)), ...(await wrongIn(world, catalogue, history))]
  return wrong.length === 0 ? undefined : [`seed ${historySeed}, after everything was restored:`, ...wrong, 'story:', ...story, 'turns:', ...turns.log].join('\n')
}
