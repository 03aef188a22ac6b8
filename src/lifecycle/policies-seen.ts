/** Which policies, and which versions of them: as a run keeps it, and compares it before it acts. */
export function policiesSeen(policies: readonly { readonly id: number; readonly version: number }[]): string {
  return JSON.stringify(policies.map(({ id, version }) => [id, version]))
}
