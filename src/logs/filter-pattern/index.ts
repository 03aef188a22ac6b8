import { parseFieldPattern } from './field-pattern.ts'
import { parseJsonPattern } from './json-pattern.ts'
import { patternProblem } from './problem.ts'
import { parseTermPattern } from './term-pattern.ts'

/** Whether a line is one that a pattern asks for. Takes time linear in the line. */
export type LineFilter = (message: string) => boolean

/**
 * Reads a filter pattern of CloudWatch Logs; undefined where it asks for every line.
 * https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/FilterAndPatternSyntax.html
 *
 * @throws `log-input-invalid`
 */
export function parseFilterPattern(text: string): LineFilter | undefined {
  const pattern = text.trim()
  if (pattern === '') return undefined
  if (pattern.startsWith('{')) return parseJsonPattern(between(pattern, '}'))
  if (pattern.startsWith('[')) return parseFieldPattern(between(pattern, ']'))
  return parseTermPattern(pattern)
}

function between(pattern: string, end: string): string {
  if (pattern.length < 2 || !pattern.endsWith(end)) throw patternProblem(`it has to end with ${end}`)
  return pattern.slice(1, -1)
}
