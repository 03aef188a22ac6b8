/** Far more than any host name, image name or service account token. */
const maxInputBytes = 256 * 1024

/** What a protocol's program needs of its process. */
export interface ProtocolIo {
  readonly stdin: AsyncIterable<Uint8Array | string>
  readonly stdout: { write(text: string): unknown }
  readonly stderr: { write(text: string): unknown }
}

/** All of standard input as text; undefined where it is longer than anything that is meant for it. */
export async function readInput(stdin: ProtocolIo['stdin']): Promise<string | undefined> {
  const chunks: Buffer[] = []
  let sizeBytes = 0
  for await (const chunk of stdin) {
    const bytes = Buffer.from(chunk)
    sizeBytes += bytes.length
    if (sizeBytes > maxInputBytes) return undefined
    chunks.push(bytes)
  }
  return Buffer.concat(chunks).toString('utf8')
}
