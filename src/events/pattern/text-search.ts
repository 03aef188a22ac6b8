/**
 * A part of a wildcard that is looked for in linear time, whatever both texts are: a failure table instead of starting over
 * (Knuth, Morris and Pratt).
 */
export interface Needle {
  readonly text: string
  readonly failures: readonly number[]
}

export function needle(text: string): Needle {
  const failures = [0]
  let matched = 0
  for (let at = 1; at < text.length; at++) {
    while (matched > 0 && text[at] !== text[matched]) matched = failures[matched - 1]!
    if (text[at] === text[matched]) matched++
    failures.push(matched)
  }
  return { text, failures }
}

/** Where the needle begins in `text`, at `from` or later; -1 where it does not. */
export function findNeedle({ text: wanted, failures }: Needle, text: string, from: number): number {
  if (wanted === '') return from
  let matched = 0
  for (let at = from; at < text.length; at++) {
    while (matched > 0 && text[at] !== wanted[matched]) matched = failures[matched - 1]!
    if (text[at] === wanted[matched]) matched++
    if (matched === wanted.length) return at - matched + 1
  }
  return -1
}
