import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { rootCertificates } from 'node:tls'
import { expect, it } from 'vitest'
import { TrustedAuthorities } from './trusted-authorities.ts'

it('reads hundreds of certificates once for a text, and again as soon as the file has another', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'authorities-'))
  try {
    const file = join(folder, 'ca.pem')
    const trusted = new TrustedAuthorities(file, ['default'])
    await expect(trusted.context()).rejects.toMatchObject({ code: 'ENOENT' })
    writeFileSync(file, rootCertificates[0]!)
    const first = await trusted.context()
    expect(first).toBeDefined()
    expect(await trusted.context()).toBe(first)
    writeFileSync(file, rootCertificates[1]!)
    const second = await trusted.context()
    expect(second).toBeDefined()
    expect(second).not.toBe(first)
  } finally {
    rmSync(folder, { recursive: true })
  }
  expect(await new TrustedAuthorities(undefined, ['default']).context()).toBeUndefined()
})
