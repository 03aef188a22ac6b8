import { isBeforeColon, stringEnd } from '../../values/json-structure.ts'

/** A value of an `AWS` principal, and where in the policy's text it stands, its quotes included. */
export interface PrincipalText {
  readonly value: string
  readonly start: number
  readonly end: number
}

/** The AWS principals that a policy names, in the order of its text, which has passed the grammar. */
export function awsPrincipalTexts(document: string): PrincipalText[] {
  const found: PrincipalText[] = []
  /** What is open: of an object the member that is being read; of an array nothing. */
  const open: { member: string | undefined }[] = []
  let at = 0
  while (at < document.length) {
    switch (document[at]) {
      case '{':
      case '[':
        open.push({ member: undefined })
        at += 1
        break
      case '}':
      case ']':
        open.pop()
        at += 1
        break
      case '"': {
        const end = stringEnd(document, at)
        const value = JSON.parse(document.slice(at, end)) as string
        const innermost = open.at(-1)
        if (innermost !== undefined && isBeforeColon(document, end)) innermost.member = value
        else if (isAwsPrincipal(open)) found.push({ value, start: at, end })
        at = end
        break
      }
      default:
        at += 1
    }
  }
  return found
}

/** The grammar has lists at `Statement` and at `AWS` only. */
function isAwsPrincipal(open: readonly { readonly member: string | undefined }[]): boolean {
  const [statement, principal, type, ...more] = open.flatMap(({ member }) => member ?? [])
  return statement === 'Statement' && (principal === 'Principal' || principal === 'NotPrincipal') && type === 'AWS' && more.length === 0
}

/** The text with other principals in the places of those that have a replacement, and not a character else changed. */
export function withAwsPrincipals(document: string, replacements: ReadonlyMap<string, string>): string {
  let text = ''
  let from = 0
  for (const { value, start, end } of awsPrincipalTexts(document)) {
    const replacement = replacements.get(value)
    if (replacement === undefined) continue
    text += document.slice(from, start) + JSON.stringify(replacement)
    from = end
  }
  return text + document.slice(from)
}
