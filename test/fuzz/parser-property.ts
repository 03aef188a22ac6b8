import fc, { type Arbitrary } from 'fast-check'
import { AwsError } from '../../src/http/aws/errors.ts'
import { isPlatformError } from '../../src/internal/platform-error.ts'

/** What has to hold of a parser for every input. */
export interface ParserProperty {
  readonly name: string
  /** Throws where it does not hold. */
  readonly property: fc.IRawProperty<unknown>
}

/** No input here has more than some kilobytes: a parser that takes this long is not linear, however busy the machine. */
const longestMs = 5_000

export function parserProperty<Input>(
  name: string,
  input: Arbitrary<Input>,
  holds: (input: Input) => void | Promise<void>,
): ParserProperty {
  const timed = async (value: Input): Promise<void> => {
    const startedAt = performance.now()
    await holds(value)
    const tookMs = performance.now() - startedAt
    if (tookMs > longestMs) throw new Error(`took ${Math.round(tookMs)} ms`)
  }
  return { name, property: fc.asyncProperty(input, timed) }
}

/** The result of a parser; undefined where it refuses with one of its documented errors, by code or by AWS type. */
export function parsedOrRefused<Value>(codes: readonly string[], parse: () => Value): Value | undefined {
  try {
    return parse()
  } catch (error) {
    if (isPlatformError(error) && codes.includes(error.code)) return undefined
    if (error instanceof AwsError && codes.includes(error.type)) return undefined
    throw error
  }
}

export function require(holds: boolean, what: string): asserts holds {
  if (!holds) throw new Error(`it does not hold that ${what}`)
}

export function requireEqual(actual: unknown, expected: unknown, what: string): void {
  const [left, right] = [JSON.stringify(actual), JSON.stringify(expected)]
  if (left !== right) throw new Error(`${what}: ${left ?? 'undefined'} instead of ${right ?? 'undefined'}`)
}
