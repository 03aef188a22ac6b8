import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { databases } from '../support/registry.ts'
import { entries } from './entries.ts'
import type { Entry } from './entry.ts'
import { comparable, expectedAnswer, seenAnswer, verdictOf, type CellPlace } from './expectation.ts'
import type { Caller, Unknown } from './callers.ts'
import type { Answer, Login, MatrixRequest } from './exchange.ts'
import { absentAccount, absentName, homeAccount, otherAccount, presentName, registryPolicy, repositoryPlaces, type Place } from './places.ts'
import { servedOperations } from './served-operations.ts'
import { makeWorld, type World } from './world.ts'

const registryPlaces: readonly CellPlace[] = [
  { label: "the installation's own account", accountId: homeAccount },
  { label: 'another account', accountId: otherAccount },
]

/** One answer of the matrix. */
interface Cell {
  readonly name: string
  readonly entry: Entry
  readonly caller: Caller
  readonly login: Login
  readonly unknown: Unknown | undefined
  readonly place: CellPlace
}

function placesOf({ subject }: Entry, caller: Caller): readonly CellPlace[] {
  if (subject === 'repository') return caller.isSplit ? repositoryPlaces.slice(0, 1) : repositoryPlaces
  if (subject === 'registry') return caller.isSplit ? registryPlaces.slice(0, 1) : registryPlaces
  if (subject === 'installation') return [{ label: 'installation', accountId: homeAccount, repository: absentAccount, absent: otherAccount }]
  const { accountId } = caller
  return [{ label: 'own account', accountId, ...(subject === 'identity' ? { repository: absentName, absent: presentName } : {}) }]
}

/** The other account's registry, with a policy that opens some of it and closes some. */
function opened(places: readonly CellPlace[]): CellPlace[] {
  return places.filter(({ accountId }) => accountId === otherAccount).map((place) => ({ ...place, registryPolicy }))
}

function cellsOf({ callers }: World, places: (entry: Entry, caller: Caller) => readonly CellPlace[] = placesOf): Cell[] {
  return Object.entries(entries).flatMap(([operation, entry]) =>
    callers.flatMap(({ caller, aws, oci }) => {
      const isOci = operation.startsWith('oci:')
      const logins: readonly { login: Login; unknown?: Unknown }[] = isOci ? oci : aws === undefined ? [] : [{ login: aws }]
      return places(entry, caller).flatMap((place) =>
        logins.map(({ login, unknown = caller.unknown }) => ({
          name: `${operation} by ${caller.name}${isOci ? ` with a ${login.kind}` : ''}, ${place.label}`,
          entry,
          caller,
          login,
          unknown,
          place,
        })),
      )
    }),
  )
}

/** Twenty times what it takes on an idle machine. */
const timeoutMs = 300_000

/** Requests at once: enough that the server never waits for its client. */
const lanes = 8

async function inLanes<Item>(items: readonly Item[], work: (item: Item) => Promise<void>): Promise<void> {
  let next = 0
  const lane = async (): Promise<void> => {
    while (next < items.length) await work(items[next++]!)
  }
  await Promise.all(Array.from({ length: lanes }, lane))
}

function placeOf(place: CellPlace, repository?: string): Place {
  return { accountId: place.accountId, repository: repository ?? ('repository' in place ? place.repository : '') }
}

async function ask(world: World, { unknown, entry, login }: Cell, request: MatrixRequest): Promise<Answer> {
  // Whoever shows what is nothing is slowed down soon, as a source.
  const isWrong = unknown !== undefined || entry.takesAnonymous === true
  return isWrong ? world.exchange.sendAsStranger(request, login) : world.exchange.send(request, login)
}

/** What is wrong with a cell; nothing where it is as it should be. */
async function problemsOf(world: World, cell: Cell): Promise<string[]> {
  const { name, entry, caller, place } = cell
  const request = entry.request(placeOf(place))
  const isTaken = cell.unknown === 'anonymous' && entry.takesAnonymous === true
  const verdict = isTaken ? 'granted' : (cell.unknown ?? verdictOf(entry, caller, place))
  const expected = expectedAnswer(entry, request, verdict, caller, place)
  const answer = await ask(world, cell, request)
  const seen = seenAnswer(request, answer)
  if (seen !== expected) return [`${name}: expected ${expected}, was ${seen} ${answer.body.slice(0, 300)}`]
  // A denial of a repository's own can only be told where the repository is.
  if (verdict === 'granted' || verdict === 'denied by its owner' || !('repository' in place)) return []
  const absent = await ask(world, cell, entry.request(placeOf(place, place.absent)))
  const [there, notThere] = [answer, absent].map((each) => comparable(each, place.repository, place.absent))
  return there === notThere ? [] : [`${name}: is told whether it exists:\n  ${there}\n  ${notThere}`]
}

describe('the authorization matrix', () => {
  it('has an entry for every operation of both protocols, and none for others', async () => {
    const named = new Set(Object.keys(entries).map((name) => name.split(' ')[0]))

    expect([...named].sort()).toEqual(await servedOperations())
  })

  describe.each(databases)('on %s', (database) => {
    let world: World
    let stop: () => Promise<void> = async () => undefined

    beforeAll(async () => {
      world = await makeWorld(database)
      stop = () => world.stop()
    })

    afterAll(() => stop())

    // A sample of cells is enough on the second database: what decides is the same code over other rows.
    const every = database === 'sqlite' ? 1 : 7

    async function problemsIn(cells: readonly Cell[]): Promise<string[]> {
      const problems: string[] = []
      const collect = async (cell: Cell): Promise<void> => {
        problems.push(...(await problemsOf(world, cell)))
      }
      const asked = cells.filter((_, index) => index % every === 0)
      await inLanes(asked.filter(({ entry }) => entry.changes !== true), collect)
      for (const cell of asked.filter(({ entry }) => entry.changes === true)) {
        await collect(cell)
        if ('repository' in cell.place) await world.mend(cell.place)
      }
      return problems
    }

    it('gives every caller exactly the answer that it should have, and tells nobody else what there is', { timeout: timeoutMs }, async () => {
      expect(await problemsIn(cellsOf(world))).toEqual([])
    })

    it('holds to the policy of a whole registry', { timeout: timeoutMs }, async () => {
      await world.setRegistryPolicy(registryPolicy)
      const cells = cellsOf(world, (entry, caller) => (entry.changes === true || caller.isSplit ? [] : opened(placesOf(entry, caller))))
      // The registry's own operations are asked of its owner only, and would read the policy that is there for now.
      const problems = await problemsIn(cells.filter(({ entry: { subject } }) => subject === 'repository' || subject === 'registry'))
      await world.setRegistryPolicy(undefined)

      expect(problems).toEqual([])
    })
  })
})
