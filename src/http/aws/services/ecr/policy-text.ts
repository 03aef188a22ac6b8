/**
 * A policy's document as ECR answers it, whichever way it was laid out: a line for each member, `"name" : value`, and
 * lists on the lines of what holds them. Clients compare policies by what they say; people read this.
 */
export function policyText(document: string): string {
  return laidOut(JSON.parse(document), 0)
}

function laidOut(value: unknown, depth: number): string {
  if (Array.isArray(value)) {
    const elements = value.map((element: unknown) => laidOut(element, depth))
    return elements.length === 0 ? '[ ]' : `[ ${elements.join(', ')} ]`
  }
  if (typeof value !== 'object' || value === null) return JSON.stringify(value)
  const indent = '  '.repeat(depth + 1)
  const members = Object.entries(value).map(([name, member]) => `${indent}${JSON.stringify(name)} : ${laidOut(member, depth + 1)}`)
  return members.length === 0 ? '{ }' : `{\n${members.join(',\n')}\n${'  '.repeat(depth)}}`
}
