/**
 * What tells the principals of a pull and of an exclusion apart: the account, and the name of the user or the role. A
 * role's sessions (`arn:aws:sts::…:assumed-role/<role>/<session>`) name it without its path, and names are unique whatever
 * the path. Undefined for a root, which no exclusion can name.
 */
export function pullingPrincipal(arn: string): string | undefined {
  const [, , , , account, resource = ''] = arn.split(':')
  const parts = resource.split('/')
  switch (parts[0]) {
    case 'assumed-role':
      return `${account}:role/${parts[1]}`.toLowerCase()
    case 'role':
    case 'user':
      return `${account}:${parts[0]}/${parts.at(-1)}`.toLowerCase()
    default:
      return undefined
  }
}
