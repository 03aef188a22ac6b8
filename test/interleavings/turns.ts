import { AsyncLocalStorage } from 'node:async_hooks'
import { setTimeout as delay } from 'node:timers/promises'

/** Numbers that are the same for the same seed, on every machine (mulberry32). */
export class Chance {
  #state: number
  constructor(seed: number) {
    this.#state = seed >>> 0
  }

  next(): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(this.#state ^ (this.#state >>> 15), 1 | this.#state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296
  }

  below(limit: number): number {
    return Math.floor(this.next() * limit)
  }

  pick<Item>(items: readonly Item[]): Item {
    return items[this.below(items.length)]!
  }

  is(probability: number): boolean {
    return this.next() < probability
  }
}

interface Waiting {
  readonly actor: Actor
  readonly label: string
  readonly go: () => void
}

interface Actor {
  readonly name: string
  done: boolean
  /** Set while the actor does something between two turns. */
  idle: (() => void) | undefined
  /** Set with it: to be told that a turn has been used, and that the actor has another waiting. */
  mayHaveEnded: (() => void) | undefined
  /** Others go before until this turn. */
  heldUntil: number
}

/** What is decided upon here is done a step later: there the others get time to change it. */
const decides = /claim-|settle-placement/u
/** As many turns as a client takes to ask for a blob or two. */
const mostTurnsHeld = 12

/** An actor that waits for what only another's turn can bring (a lock within the process) is passed over after this. */
const blockedAfterMs = 40

/**
 * An actor that does several things side by side has others of them waiting for their turn when one comes to its end, and
 * then nobody tells: as long as what it does between two turns without asking for one.
 */
const endedAfterMs = 5

/**
 * Lets several pieces of work run by turns: each stops before every command and every call of the storage, and a seed
 * decides who goes on. The same seed gives the same history as long as the work itself has no chance in it.
 */
export class Turns {
  readonly #chance: Chance
  readonly #current = new AsyncLocalStorage<Actor>()
  #waiting: Waiting[] = []
  #dead = false
  /** What happened, one line for each turn: the history to read when a seed fails. */
  readonly log: string[]

  /** @param log of the turns before these, where the history goes on */
  constructor(chance: Chance, log: string[] = []) {
    this.#chance = chance
    this.log = log
  }

  /** How many turns were taken so far: the time of a history. */
  get time(): number {
    return this.log.length
  }

  /** Waits for its turn, then does `work`. Outside of `run`, and so in checks afterwards, it does it at once. */
  async take<Result>(label: string, work: () => Promise<Result>): Promise<Result> {
    const actor = this.#current.getStore()
    if (!actor) return work()
    // A process that was killed does nothing any more, and nobody waits for it.
    if (this.#dead) return new Promise<never>(() => undefined)
    await new Promise<void>((go) => {
      this.#waiting.push({ actor, label, go })
      actor.idle?.()
    })
    const result = await work()
    if (this.#dead) return new Promise<never>(() => undefined)
    if (this.#waiting.some((other) => other.actor === actor)) actor.mayHaveEnded?.()
    return result
  }

  /**
   * Runs all work by turns until each piece is done, or until `killAfter` turns were taken: then whatever was under way
   * stops where it is, as when the process is killed, and the answer is 'killed'.
   */
  async run(work: Readonly<Record<string, () => Promise<void>>>, killAfter = Number.POSITIVE_INFINITY): Promise<'done' | 'killed'> {
    const actors: Actor[] = []
    for (const [name, begin] of Object.entries(work)) {
      const actor: Actor = { name, done: false, idle: undefined, mayHaveEnded: undefined, heldUntil: 0 }
      actors.push(actor)
      await this.#until(actor, () => {
        void this.#current.run(actor, async () => {
          // Everybody begins by a turn, so that also the first reads have their time.
          await this.take('begin', () => Promise.resolve())
          await begin()
          actor.done = true
          actor.idle?.()
        })
      })
    }
    for (let turn = 0; ; turn += 1) {
      if (turn >= killAfter) {
        this.#dead = true
        this.#waiting = []
        return 'killed'
      }
      if (this.#waiting.length === 0) {
        if (actors.every(({ done }) => done)) return 'done'
        await delay(1)
        continue
      }
      const free = this.#waiting.filter(({ actor }) => actor.heldUntil <= turn)
      const next = this.#chance.pick(free.length > 0 ? free : this.#waiting)
      this.#waiting.splice(this.#waiting.indexOf(next), 1)
      this.log.push(`${next.actor.name}: ${next.label}`)
      if (decides.test(next.label)) next.actor.heldUntil = turn + this.#chance.below(mostTurnsHeld)
      await this.#until(next.actor, next.go)
    }
  }

  /** Lets an actor go on, and waits until it needs another turn, is done, or is evidently blocked by another. */
  async #until(actor: Actor, go: () => void): Promise<void> {
    let timer: NodeJS.Timeout | undefined
    await new Promise<void>((resolve) => {
      actor.idle = resolve
      timer = setTimeout(resolve, blockedAfterMs)
      actor.mayHaveEnded = () => {
        clearTimeout(timer)
        timer = setTimeout(resolve, endedAfterMs)
      }
      go()
    })
    clearTimeout(timer)
    actor.idle = undefined
    actor.mayHaveEnded = undefined
  }
}

/** An object whose methods each take a turn first. `names` says which; all others are as they were. */
export function byTurns<Target extends object>(turns: () => Turns, target: Target, kind: string, names: ReadonlySet<string>): Target {
  return new Proxy(target, {
    get(from, name) {
      const member: unknown = Reflect.get(from, name, from)
      if (typeof member !== 'function') return member
      const call = (member as (...args: unknown[]) => unknown).bind(from)
      if (typeof name !== 'string' || !names.has(name)) return call
      return (...args: unknown[]) => {
        const subject = (args[0] as { name?: string } | undefined)?.name
        return turns().take(`${kind}.${name}${subject === undefined ? '' : ` ${subject}`}`, () => Promise.resolve(call(...args)))
      }
    },
  })
}
