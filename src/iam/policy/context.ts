/** A condition key's value, or its values where it has several. */
export type ContextValue = string | readonly string[]

/**
 * The values of two tags, or claims, whose keys differ in case only. Condition keys do not, so that nobody can say which of
 * the two a policy means: it allows nothing under a condition on such a key, and denies what it denies with either value.
 */
export class AmbiguousValue {
  readonly choices: readonly ContextValue[]

  constructor(choices: readonly ContextValue[]) {
    this.choices = choices
  }
}

/** What a key has that stands twice. The same value twice is one. */
export function bothValues(one: ContextValue | AmbiguousValue, other: ContextValue | AmbiguousValue): ContextValue | AmbiguousValue {
  if (one === other) return one
  const choicesOf = (value: ContextValue | AmbiguousValue) => (value instanceof AmbiguousValue ? value.choices : [value])
  return new AmbiguousValue([...choicesOf(one), ...choicesOf(other)])
}

/**
 * Condition keys of a request with their values. Either a record, whose keys may be written in any case, or a function
 * from a key in lower case to its value: for callers that compute a value only when a policy asks for it.
 */
export type ConditionContext =
  | Readonly<Record<string, ContextValue>>
  | ((lowerCaseKey: string) => ContextValue | AmbiguousValue | undefined)

/** The values of one request, as policies ask for them. A record is indexed once, when the first key is asked for. */
export class ContextReader {
  readonly #context: ConditionContext
  #index: ReadonlyMap<string, ContextValue | AmbiguousValue> | undefined
  /** Which of the values of ambiguous keys is looked at. */
  readonly #chosen: ReadonlyMap<string, ContextValue> | undefined

  constructor(context: ConditionContext, chosen?: ReadonlyMap<string, ContextValue>) {
    this.#context = context
    this.#chosen = chosen
  }

  /** Undefined if the request does not have the key, or has no value for it. Of an ambiguous key the first value. */
  value(lowerCaseKey: string): ContextValue | undefined {
    const found = this.#chosen?.get(lowerCaseKey) ?? this.#find(lowerCaseKey)
    const value = found instanceof AmbiguousValue ? found.choices[0] : found
    return value?.length === 0 && typeof value !== 'string' ? undefined : value
  }

  isAmbiguous(lowerCaseKey: string): boolean {
    return this.#find(lowerCaseKey) instanceof AmbiguousValue
  }

  /** The same request, with each of the values that the ambiguous keys could have; undefined where these are more than `most`. */
  withEachChoice(ambiguousKeys: readonly string[], most: number): readonly ContextReader[] | undefined {
    let chosen: ReadonlyMap<string, ContextValue>[] = [new Map()]
    for (const key of ambiguousKeys) {
      const found = this.#find(key)
      if (!(found instanceof AmbiguousValue)) continue
      if (chosen.length * found.choices.length > most) return undefined
      chosen = chosen.flatMap((each) => found.choices.map((choice) => new Map(each).set(key, choice)))
    }
    return chosen.map((each) => new ContextReader(this.#context, each))
  }

  /** The value that takes a variable's place: only a key with one value has one. */
  readonly single = (lowerCaseKey: string): string | undefined => {
    const value = this.value(lowerCaseKey)
    if (typeof value === 'string') return value
    return value?.length === 1 ? value[0] : undefined
  }

  #find(lowerCaseKey: string): ContextValue | AmbiguousValue | undefined {
    if (typeof this.#context === 'function') return this.#context(lowerCaseKey)
    this.#index ??= indexOf(this.#context)
    return this.#index.get(lowerCaseKey)
  }
}

function indexOf(record: Readonly<Record<string, ContextValue>>): ReadonlyMap<string, ContextValue | AmbiguousValue> {
  const index = new Map<string, ContextValue | AmbiguousValue>()
  for (const [key, value] of Object.entries(record)) {
    const lowerCaseKey = key.toLowerCase()
    const other = index.get(lowerCaseKey)
    index.set(lowerCaseKey, other === undefined ? value : bothValues(other, value))
  }
  return index
}
