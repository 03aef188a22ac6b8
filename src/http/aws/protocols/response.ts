/** An answer before it is sent: every protocol makes these, one writer sends them. */
export interface WireResponse {
  readonly status: number
  readonly headers: Readonly<Record<string, string>>
  readonly body: string | Buffer
}
