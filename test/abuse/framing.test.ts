import { describe, expect, it } from 'vitest'
import { openConnection } from '../distribution/raw-connection.ts'
import { onEveryDatabase } from '../distribution/registry-under-test.ts'
import { buildImage } from '../support/images.ts'

/** What a second reader of the same bytes would take for a request of its own. */
const smuggled = 'GET /v2/_catalog HTTP/1.1\r\nHost: x\r\n\r\n'

onEveryDatabase((registry) => {
  /** Sends a DELETE of a tag with this framing; answers its status, what else came, and whether the tag is still there. */
  async function deleteWith(framing: Readonly<Record<string, string>>, body: string) {
    const { platform, client, newRepository, pushImage } = registry()
    const repository = await newRepository('abuse/framing')
    await pushImage(repository, buildImage({ seed: 'framing' }), 'kept')
    const connection = await openConnection(platform.url, platform.authorization)
    connection.sendHead(`DELETE /v2/${repository}/manifests/kept HTTP/1.1`, framing)
    connection.send(body)
    const { status } = await connection.nextAnswer()
    const further = await connection.nextAnswer().then(
      (answer) => answer.status,
      () => 'none',
    )
    const left = await client.request('HEAD', `/v2/${repository}/manifests/kept`)
    return { status, further, left: left.status }
  }

  describe('request smuggling (CWE-444)', () => {
    it.each<[string, Record<string, string>, string]>([
      ['CL.TE', { 'Content-Length': '5', 'Transfer-Encoding': 'chunked' }, `0\r\n\r\n${smuggled}`],
      ['TE.CL', { 'Transfer-Encoding': 'chunked', 'Content-Length': '3' }, `0\r\n\r\n${smuggled}`],
      ['TE.TE', { 'Transfer-Encoding': 'chunked, identity' }, `0\r\n\r\n${smuggled}`],
      ['an obfuscated TE', { 'Transfer-Encoding': 'xchunked' }, `0\r\n\r\n${smuggled}`],
      ['a TE with parameters', { 'Transfer-Encoding': 'chunked;q=1' }, `0\r\n\r\n${smuggled}`],
      ['a TE with a space before its colon', { 'Transfer-Encoding ': 'chunked' }, `0\r\n\r\n${smuggled}`],
      ['a coding that is not understood', { 'Transfer-Encoding': 'gzip, chunked' }, `0\r\n\r\n${smuggled}`],
      ['two lengths in one', { 'Content-Length': '0, 5' }, smuggled],
      ['a length with a sign', { 'Content-Length': '+0' }, smuggled],
    ])('%s is refused, nothing is done, and nothing behind it is a request', async (_, framing, body) => {
      expect(await deleteWith(framing, body)).toEqual({ status: 400, further: 'none', left: 200 })
    })

    it.each(['5\nhello\n0\n\n', '5\r\nhelloXX0\r\n\r\n', 'fffffffffffffffff\r\n', '-1\r\n\r\n', '0x0\r\n\r\n'])(
      'what follows a broken chunk is no request: %j',
      async (body) => {
        const { platform, newRepository } = registry()
        const repository = await newRepository('abuse/framing')
        const connection = await openConnection(platform.url, platform.authorization)
        connection.sendHead(`PUT /v2/${repository}/manifests/v1 HTTP/1.1`, { 'Transfer-Encoding': 'chunked' })
        connection.send(body + smuggled)

        expect((await connection.nextAnswer()).status).toBe(400)
        await expect(connection.nextAnswer()).rejects.toThrow()
      },
    )

    it('what is no request does not take away the answer to the one before it', async () => {
      const { platform } = registry()
      const connection = await openConnection(platform.url, platform.authorization)
      connection.sendHead('GET /v2/ HTTP/1.0')
      connection.send(smuggled)
      connection.send('garbage')

      expect((await connection.nextAnswer()).status).toBe(200)
      await expect(connection.nextAnswer()).rejects.toThrow()
    })

    it('a refused expectation ends the connection with one answer', async () => {
      const { platform } = registry()
      const connection = await openConnection(platform.url, platform.authorization)
      connection.sendHead('POST / HTTP/1.1', { Expect: 'miracles', 'Transfer-Encoding': 'chunked' })
      connection.send(`xyz\r\n${smuggled}`)

      expect((await connection.nextAnswer()).status).toBe(417)
      await expect(connection.nextAnswer()).rejects.toThrow()
    })
  })
})
