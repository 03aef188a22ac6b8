import type { TagTest } from './tag-pattern.ts'

/*
 * Regular expressions over tags, in time linear in the tag whatever the expression: JavaScript's own go back and may take hours
 * for 128 characters. The expression becomes a nondeterministic automaton, and that a deterministic one as tags need it.
 */

/** What the largest sensible expression has, and still a cheap automaton. */
const maxStates = 1_000

/** Steps of building it: repetitions of nothing make no states. */
const maxSteps = 20_000

const maxRepetitions = 1_000
const maxDepth = 20

/** Deterministic states that are remembered; an expression that needs more is slower, not larger. */
const maxRemembered = 500

/** Tags are ASCII. */
const alphabet = 128

type CharacterSet = Uint8Array

type Node =
  | { readonly kind: 'characters'; readonly set: CharacterSet }
  | { readonly kind: 'sequence'; readonly parts: readonly Node[] }
  | { readonly kind: 'choice'; readonly parts: readonly Node[] }
  | { readonly kind: 'repetition'; readonly part: Node; readonly min: number; readonly max: number }

/**
 * Reads an expression that the whole tag must match. It knows characters, `.`, classes such as `[a-z0-9]`, `\d`, `\w`, groups,
 * `|`, `*`, `+`, `?` and `{2,5}`; a `^` at the start and a `$` at the end say what holds anyway.
 *
 * @returns what is wrong with the text, where it is none of these
 */
export function regularExpressionTest(source: string, { ignoreCase = false } = {}): TagTest | string {
  try {
    return automatonTest(build(new ExpressionReader(source, ignoreCase).read()))
  } catch (error) {
    if (error instanceof ExpressionProblem) return error.message
    throw error
  }
}

class ExpressionProblem extends Error {}

class ExpressionReader {
  readonly #source: string
  readonly #ignoreCase: boolean
  #at = 0
  #depth = 0

  constructor(source: string, ignoreCase: boolean) {
    const start = source.startsWith('^') ? 1 : 0
    const end = /(?<!\\)(?:\\\\)*\$$/u.test(source) ? source.length - 1 : source.length
    this.#source = source.slice(start, Math.max(start, end))
    this.#ignoreCase = ignoreCase
  }

  read(): Node {
    if (this.#source === '') throw new ExpressionProblem('it is empty')
    const node = this.#readChoice()
    if (this.#at < this.#source.length) throw new ExpressionProblem('a ")" has no "("')
    return node
  }

  #readChoice(): Node {
    const parts = [this.#readSequence()]
    while (this.#take('|')) parts.push(this.#readSequence())
    return parts.length === 1 ? parts[0]! : { kind: 'choice', parts }
  }

  #readSequence(): Node {
    const parts: Node[] = []
    while (this.#at < this.#source.length && !'|)'.includes(this.#peek())) parts.push(this.#readRepetition())
    return { kind: 'sequence', parts }
  }

  #readRepetition(): Node {
    const part = this.#readAtom()
    const bounds = this.#readBounds()
    if (bounds === undefined) return part
    if (this.#at < this.#source.length && '*+?{'.includes(this.#peek())) throw new ExpressionProblem(`"${this.#peek()}" may not follow a repetition`)
    return { kind: 'repetition', part, min: bounds[0], max: bounds[1] }
  }

  #readBounds(): readonly [min: number, max: number] | undefined {
    if (this.#take('*')) return [0, Infinity]
    if (this.#take('+')) return [1, Infinity]
    if (this.#take('?')) return [0, 1]
    if (this.#peek() !== '{') return undefined
    const found = /^\{(?<min>\d{1,4})(?<comma>,(?<max>\d{1,4})?)?\}/u.exec(this.#source.slice(this.#at))?.groups
    if (found === undefined) throw new ExpressionProblem('"{" begins a repetition such as {3} or {2,5}; write \\{ for the character')
    this.#at = this.#source.indexOf('}', this.#at) + 1
    const min = Number(found['min'])
    const max = found['comma'] === undefined ? min : found['max'] === undefined ? Infinity : Number(found['max'])
    if (min > max) throw new ExpressionProblem('a repetition has its smaller number first')
    if (min > maxRepetitions || (max !== Infinity && max > maxRepetitions)) throw new ExpressionProblem(`a repetition goes up to ${maxRepetitions}`)
    return [min, max]
  }

  #readAtom(): Node {
    const character = this.#next()
    switch (character) {
      case '(':
        return this.#readGroup()
      case '[':
        return { kind: 'characters', set: this.#folded(this.#readClass()) }
      case '.':
        return { kind: 'characters', set: new Uint8Array(alphabet).fill(1) }
      case '\\':
        return { kind: 'characters', set: this.#folded(this.#readEscape()) }
      case '^':
      case '$':
        throw new ExpressionProblem(`"${character}" stands only at the ${character === '^' ? 'start' : 'end'}; write \\${character} for the character`)
      case '*':
      case '+':
      case '?':
      case '{':
        throw new ExpressionProblem(`"${character}" repeats nothing; write \\${character} for the character`)
      case ']':
      case '}':
        throw new ExpressionProblem(`"${character}" ends nothing; write \\${character} for the character`)
      default:
        return { kind: 'characters', set: this.#folded(only(character)) }
    }
  }

  #readGroup(): Node {
    if (++this.#depth > maxDepth) throw new ExpressionProblem(`groups nest deeper than ${maxDepth}`)
    if (this.#take('?') && !this.#take(':')) throw new ExpressionProblem('of the groups with "(?" only "(?:" is known')
    const node = this.#readChoice()
    if (!this.#take(')')) throw new ExpressionProblem('a "(" has no ")"')
    this.#depth--
    return node
  }

  #readClass(): CharacterSet {
    const isNegated = this.#take('^')
    const set = new Uint8Array(alphabet)
    let isFirst = true
    for (;;) {
      if (this.#at >= this.#source.length) throw new ExpressionProblem('a "[" has no "]"')
      if (this.#take(']')) {
        if (isFirst) throw new ExpressionProblem('a class of characters is empty')
        break
      }
      isFirst = false
      const low = this.#readMember()
      if (this.#peek() !== '-' || this.#source[this.#at + 1] === ']') {
        for (const [code, isIn] of low.entries()) if (isIn === 1) set[code] = 1
        continue
      }
      this.#at++
      const from = single(low)
      const to = single(this.#readMember())
      if (from === undefined || to === undefined || from > to) throw new ExpressionProblem('a range of characters goes from a lower to a higher one')
      set.fill(1, from, to + 1)
    }
    const folded = this.#folded(set)
    return isNegated ? folded.map((isIn) => 1 - isIn) : folded
  }

  #readMember(): CharacterSet {
    const character = this.#next()
    return character === '\\' ? this.#readEscape() : only(character)
  }

  #readEscape(): CharacterSet {
    if (this.#at >= this.#source.length) throw new ExpressionProblem('nothing follows the last "\\"')
    const character = this.#next()
    const named = namedClass(character)
    if (named !== undefined) return named
    if (/[0-9A-Za-z]/u.test(character)) throw new ExpressionProblem(`"\\${character}" is not known`)
    return only(character)
  }

  #folded(set: CharacterSet): CharacterSet {
    if (!this.#ignoreCase) return set
    const folded = set.slice()
    for (let upper = 0x41; upper <= 0x5a; upper++) {
      const isIn = set[upper] === 1 || set[upper + 0x20] === 1 ? 1 : 0
      folded[upper] = isIn
      folded[upper + 0x20] = isIn
    }
    return folded
  }

  #peek(): string {
    return this.#source[this.#at] ?? ''
  }

  #next(): string {
    return this.#source[this.#at++] ?? ''
  }

  #take(character: string): boolean {
    if (this.#peek() !== character) return false
    this.#at++
    return true
  }
}

function only(character: string): CharacterSet {
  const code = character.charCodeAt(0)
  if (!(code < alphabet)) throw new ExpressionProblem(`a tag has no ${JSON.stringify(character)}`)
  const set = new Uint8Array(alphabet)
  set[code] = 1
  return set
}

function single(set: CharacterSet): number | undefined {
  const first = set.indexOf(1)
  return first === set.lastIndexOf(1) ? first : undefined
}

function namedClass(letter: string): CharacterSet | undefined {
  const isNamed = { d: /[0-9]/u, w: /[0-9A-Za-z_]/u, s: /\s/u }[letter.toLowerCase()]
  if (isNamed === undefined) return undefined
  const isNegated = letter !== letter.toLowerCase()
  return Uint8Array.from({ length: alphabet }, (_, code) => (isNamed.test(String.fromCharCode(code)) === isNegated ? 0 : 1))
}

/** A state reads a character of its set, or is passed over to others at once; the one that does neither accepts. */
interface State {
  readonly set: CharacterSet | undefined
  readonly next: number[]
}

interface Automaton {
  readonly states: readonly State[]
  readonly start: number
}

/** The state that accepts. */
const accepting = 0

function build(root: Node): Automaton {
  const states: State[] = [{ set: undefined, next: [] }]
  let steps = 0

  function add(state: State): number {
    if (states.length >= maxStates) throw new ExpressionProblem('it is too large')
    return states.push(state) - 1
  }

  /** Adds what reads `node` and goes on at `after`; answers where that begins. */
  function emit(node: Node, after: number): number {
    if (++steps > maxSteps) throw new ExpressionProblem('it is too large')
    switch (node.kind) {
      case 'characters':
        return add({ set: node.set, next: [after] })
      case 'sequence':
        return node.parts.reduceRight((next, part) => emit(part, next), after)
      case 'choice':
        return add({ set: undefined, next: node.parts.map((part) => emit(part, after)) })
      case 'repetition': {
        let start = after
        if (node.max === Infinity) {
          const loop: State = { set: undefined, next: [after] }
          start = add(loop)
          loop.next.push(emit(node.part, start))
        } else {
          for (let optional = node.min; optional < node.max; optional++) {
            start = add({ set: undefined, next: [after, emit(node.part, start)] })
          }
        }
        for (let required = 0; required < node.min; required++) start = emit(node.part, start)
        return start
      }
    }
  }

  const start = emit(root, accepting)
  return { states, start }
}

/** A set of states at once. */
interface Place {
  readonly members: readonly number[]
  readonly accepts: boolean
  /** By character; undefined: not yet asked for. */
  readonly next: (Place | undefined)[]
}

function automatonTest({ states, start }: Automaton): TagTest {
  const places = new Map<string, Place>()

  /** The place of these states and of all that are reached from them without reading. */
  function placeOf(seeds: readonly number[]): Place {
    const reached = new Set<number>()
    const open = [...seeds]
    for (let state = open.pop(); state !== undefined; state = open.pop()) {
      if (reached.has(state)) continue
      reached.add(state)
      const { set, next } = states[state]!
      if (set === undefined) open.push(...next)
    }
    const members = [...reached].filter((state) => state === accepting || states[state]!.set !== undefined).sort((a, b) => a - b)
    const key = members.join()
    const known = places.get(key)
    if (known !== undefined) return known
    const place: Place = { members, accepts: members.includes(accepting), next: [] }
    if (places.size >= maxRemembered) {
      // Those that still lead here are left to the collector with the tag that is being read.
      for (const each of places.values()) each.next.length = 0
      places.clear()
    }
    places.set(key, place)
    return place
  }

  function step(place: Place, code: number): Place {
    const known = place.next[code]
    if (known !== undefined) return known
    const next = placeOf(place.members.filter((state) => states[state]!.set?.[code] === 1).flatMap((state) => states[state]!.next))
    place.next[code] = next
    return next
  }

  const first = placeOf([start])
  return (tag) => {
    let place = first
    for (let at = 0; at < tag.length; at++) {
      const code = tag.charCodeAt(at)
      if (code >= alphabet || place.members.length === 0) return false
      place = step(place, code)
    }
    return place.accepts
  }
}
