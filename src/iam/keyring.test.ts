import { chmod, mkdir, readdir, readFile, stat, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { inspect } from 'node:util'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { systemIds } from '../internal/ids.ts'
import { failureOf, newKeyringText, SteppedClock, testStart, textKeyring, withTemporaryDirectory } from './iam.test-support.ts'
import { openKeyring, type Keyring } from './keyring.ts'

const clock = new SteppedClock(testStart)

function open(dataDir: string, keyring?: string, requireExisting = false): Promise<Keyring> {
  return openKeyring({ dataDir, keyring, requireExisting, clock, ids: systemIds })
}

describe('seal and unseal', () => {
  test('give back every plaintext, for the same purpose only', async () => {
    const keyring = await textKeyring()
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), fc.string(), fc.string(), (bytes, purpose, other) => {
        const sealed = keyring.seal(Buffer.from(bytes), purpose)
        expect(sealed).toMatch(/^v1\.[a-z0-9]{1,32}\.[A-Za-z0-9_-]+$/)
        expect(keyring.unseal(sealed, purpose)).toEqual(Buffer.from(bytes))
        if (other !== purpose) expect(() => keyring.unseal(sealed, other)).toThrow('not sealed by this')
      }),
    )
  })

  test('never give the same text twice', async () => {
    const keyring = await textKeyring()
    const sealed = Array.from({ length: 50 }, () => keyring.seal(Buffer.from('same'), 'purpose'))
    expect(new Set(sealed).size).toBe(50)
  })

  test('refuse every text that differs in one character', async () => {
    const keyring = await textKeyring()
    const sealed = keyring.seal(Buffer.from('a secret access key'), 'purpose')
    for (let at = 0; at < sealed.length; at++) {
      for (const character of ['A', 'B', 'w', '.', '=', '+', 'é', '']) {
        if (sealed[at] === character) continue
        const changed = sealed.slice(0, at) + character + sealed.slice(at + 1)
        const failure = await failureOf(() => keyring.unseal(changed, 'purpose'))
        expect(failure.code).toBe('token-invalid')
      }
    }
  })

  test('refuse arbitrary text without any other failure', async () => {
    const keyring = await textKeyring()
    await fc.assert(
      fc.asyncProperty(fc.oneof(fc.string(), fc.base64String().map((text) => `v1.${keyring.primaryKeyId}.${text}`)), async (text) => {
        expect((await failureOf(() => keyring.unseal(text, 'purpose'))).code).toBe('token-invalid')
        expect(keyring.verifyMac(Buffer.from('message'), text, 'purpose')).toBe(false)
      }),
    )
  })

  test('tell a foreign key from a broken seal', async () => {
    const keyring = await textKeyring()
    const foreign = (await textKeyring()).seal(Buffer.from('x'), 'purpose')
    expect((await failureOf(() => keyring.unseal(foreign, 'purpose'))).detail).toEqual({ reason: 'key-unknown' })
    const broken = keyring.seal(Buffer.from('x'), 'another purpose')
    expect((await failureOf(() => keyring.unseal(broken, 'purpose'))).detail).toEqual({ reason: 'seal-broken' })
    expect((await failureOf(() => keyring.unseal('text', 'purpose'))).detail).toEqual({ reason: 'malformed' })
  })
})

describe('mac', () => {
  test('holds for its message and purpose only', async () => {
    const keyring = await textKeyring()
    const message = Buffer.from('message')
    const mac = keyring.mac(message, 'purpose')
    expect(mac).toBe(keyring.mac(message, 'purpose'))
    expect(keyring.verifyMac(message, mac, 'purpose')).toBe(true)
    expect(keyring.verifyMac(Buffer.from('massage'), mac, 'purpose')).toBe(false)
    expect(keyring.verifyMac(Buffer.from('emessage'), mac, 'purpos')).toBe(false)
    expect((await textKeyring()).verifyMac(message, mac, 'purpose')).toBe(false)
  })

  test('fails with any character changed', async () => {
    const keyring = await textKeyring()
    const message = Buffer.from('message')
    const mac = keyring.mac(message, 'purpose')
    for (let at = 0; at < mac.length; at++) {
      const changed = `${mac.slice(0, at)}${mac[at] === 'A' ? 'B' : 'A'}${mac.slice(at + 1)}`
      expect(keyring.verifyMac(message, changed, 'purpose')).toBe(false)
    }
  })
})

describe('the keyring file', () => {
  test('is made for its owner only, and opened again with the same keys', async () => {
    await withTemporaryDirectory(async (path) => {
      const dataDir = join(path, 'new', 'data')
      const sealed = (await open(dataDir)).seal(Buffer.from('kept'), 'purpose')
      const file = join(dataDir, 'keys', 'keyring.json')
      expect((await stat(file)).mode & 0o777).toBe(0o600)
      expect((await stat(join(dataDir, 'keys'))).mode & 0o777).toBe(0o700)
      expect(await readdir(join(dataDir, 'keys'))).toEqual(['keyring.json'])
      expect((await open(dataDir, undefined, true)).unseal(sealed, 'purpose').toString()).toBe('kept')
    })
  })

  test('is the same for all who start at once', async () => {
    await withTemporaryDirectory(async (path) => {
      const keyrings = await Promise.all(Array.from({ length: 12 }, () => open(path)))
      expect(new Set(keyrings.map((keyring) => keyring.primaryKeyId)).size).toBe(1)
      expect(await readdir(join(path, 'keys'))).toEqual(['keyring.json'])
    })
  })

  test.each([0o640, 0o604, 0o660, 0o644, 0o610])('is refused with mode %o, and the text says how to close it', async (mode) => {
    await withTemporaryDirectory(async (path) => {
      const file = join(path, "my key's ring.json")
      await writeFile(file, newKeyringText())
      await chmod(file, mode)
      const failure = await failureOf(() => open(path, file))
      expect(failure.code).toBe('keyring-insecure')
      expect(failure.message).toContain(mode.toString(8).padStart(4, '0'))
      expect(failure.message).toContain(`chmod 600 '${path}/my key'\\''s ring.json'`)
    })
  })

  test('may be read-only and behind a symbolic link', async () => {
    await withTemporaryDirectory(async (path) => {
      await writeFile(join(path, 'secret'), newKeyringText(), { mode: 0o400 })
      await symlink(join(path, 'secret'), join(path, 'link'))
      expect((await open(path, join(path, 'link'))).primaryKeyId).toMatch(/^[a-z0-9]+$/)
    })
  })

  test('must exist where it is named or required', async () => {
    await withTemporaryDirectory(async (path) => {
      const named = await failureOf(() => open(path, join(path, 'absent.json')))
      expect(named.code).toBe('keyring-missing')
      expect(named.message).toContain(join(path, 'absent.json'))
      const required = await failureOf(() => open(path, ' ', true))
      expect(required.code).toBe('keyring-missing')
      expect(required.message).toContain('stowage keyring create > FILE')
      expect(await readdir(path)).toEqual([])
    })
  })

  test('is not a folder, a huge file, or below a file', async () => {
    await withTemporaryDirectory(async (path) => {
      await mkdir(join(path, 'folder'))
      await writeFile(join(path, 'huge'), Buffer.alloc(2 * 1024 * 1024), { mode: 0o600 })
      for (const name of ['folder', 'huge', 'huge/keyring.json']) {
        expect((await failureOf(() => open(path, join(path, name)))).code).toBe('keyring-unreadable')
      }
      expect((await failureOf(() => open(join(path, 'huge')))).code).toBe('keyring-unreadable')
    })
  })
})

describe('rotation', () => {
  test('seals with a new key and still reads and verifies what older ones made', async () => {
    await withTemporaryDirectory(async (path) => {
      const keyring = await open(path)
      const made = [{ sealed: keyring.seal(Buffer.from('0'), 'p'), mac: keyring.mac(Buffer.from('0'), 'p') }]
      const revision = keyring.revision
      for (let round = 1; round <= 3; round++) {
        const keyId = await keyring.rotate()
        expect(keyring.primaryKeyId).toBe(keyId)
        made.push({ sealed: keyring.seal(Buffer.from(String(round)), 'p'), mac: keyring.mac(Buffer.from(String(round)), 'p') })
      }
      expect(keyring.revision).toBeGreaterThan(revision)
      expect(new Set(made.map(({ sealed }) => sealed.split('.')[1])).size).toBe(4)
      for (const reader of [keyring, await open(path)]) {
        for (const [index, { sealed, mac }] of made.entries()) {
          expect(reader.unseal(sealed, 'p').toString()).toBe(String(index))
          expect(reader.verifyMac(Buffer.from(String(index)), mac, 'p')).toBe(true)
        }
      }
      expect(await readdir(join(path, 'keys'))).toEqual(['keyring.json'])
      expect((await stat(join(path, 'keys', 'keyring.json'))).mode & 0o777).toBe(0o600)
    })
  })

  test('by another process is taken up by a reload, and never loses the keys of either', async () => {
    await withTemporaryDirectory(async (path) => {
      const [first, second] = [await open(path), await open(path)]
      await first.rotate()
      const sealed = first.seal(Buffer.from('x'), 'p')
      expect((await failureOf(() => second.unseal(sealed, 'p'))).detail).toEqual({ reason: 'key-unknown' })
      await second.reload()
      expect(second.unseal(sealed, 'p').toString()).toBe('x')
      await first.rotate()
      await second.rotate()
      expect(second.unseal(first.seal(Buffer.from('y'), 'p'), 'p').toString()).toBe('y')
    })
  })

  test('is refused while another is under way, and of several at once no key is lost', async () => {
    await withTemporaryDirectory(async (path) => {
      const keyring = await open(path)
      const outcomes = await Promise.allSettled(Array.from({ length: 8 }, async () => (await open(path)).rotate()))
      const added = outcomes.flatMap((outcome) => (outcome.status === 'fulfilled' ? [outcome.value] : []))
      expect(added.length).toBeGreaterThan(0)
      const document = JSON.parse(await readFile(join(path, 'keys', 'keyring.json'), 'utf8')) as { keys: { id: string }[] }
      expect(document.keys.map((key) => key.id).sort()).toEqual([keyring.primaryKeyId, ...added].sort())

      await writeFile(join(path, 'keys', 'keyring.json.next'), '')
      const failure = await failureOf(() => keyring.rotate())
      expect(failure.code).toBe('keyring-unwritable')
      expect(failure.message).toContain('keyring.json.next')
    })
  })

  test('of a keyring given as text is refused', async () => {
    const keyring = await textKeyring()
    expect((await failureOf(() => keyring.rotate())).code).toBe('keyring-unwritable')
    await expect(keyring.reload()).resolves.toBeUndefined()
  })

  test('leaves the keyring as it was when the file has become unusable', async () => {
    await withTemporaryDirectory(async (path) => {
      const keyring = await open(path)
      const sealed = keyring.seal(Buffer.from('x'), 'p')
      await writeFile(join(path, 'keys', 'keyring.json'), 'broken')
      expect((await failureOf(() => keyring.rotate())).code).toBe('keyring-invalid')
      expect((await failureOf(() => keyring.reload())).code).toBe('keyring-invalid')
      expect(keyring.unseal(sealed, 'p').toString()).toBe('x')
      expect(await readdir(join(path, 'keys'))).toEqual(['keyring.json'])
    })
  })
})

describe('keys never show', () => {
  const secret = Buffer.alloc(32, 7).toString('base64')
  const key = { id: 'k1', secret, createdAt: 1 }

  test.each([
    ['not JSON', `{"primary":"k1","keys":[{"secret":"${secret}"`],
    ['no list', JSON.stringify({ primary: 'k1', keys: { k1: secret } })],
    ['no object in the list', JSON.stringify({ primary: 'k1', keys: [secret] })],
    ['an id with a dot', JSON.stringify({ primary: 'k.1', keys: [{ ...key, id: 'k.1' }] })],
    ['a short secret', JSON.stringify({ primary: 'k1', keys: [{ ...key, secret: secret.slice(4) }] })],
    ['a secret with spare characters', JSON.stringify({ primary: 'k1', keys: [{ ...key, secret: `${secret} ` }] })],
    ['no time', JSON.stringify({ primary: 'k1', keys: [{ ...key, createdAt: '1' }] })],
    ['one id twice', JSON.stringify({ primary: 'k1', keys: [key, key] })],
    ['an unknown primary', JSON.stringify({ primary: secret, keys: [key] })],
    ['no keys', JSON.stringify({ primary: 'k1', keys: [] })],
  ])('in the error about a keyring with %s', async (_name, text) => {
    const failure = await failureOf(() => textKeyring(text))
    expect(failure.code).toBe('keyring-invalid')
    expect(failure.message).toContain('STOWAGE_KEYRING')
    expect(inspect(failure, { depth: 10 })).not.toContain(secret.slice(0, 8))
  })

  test('in what a logger or a debugger prints', async () => {
    const keyring = await textKeyring(JSON.stringify({ primary: 'k1', keys: [key] }))
    for (const print of [JSON.stringify(keyring), inspect(keyring, { depth: 10, showHidden: true })]) {
      expect(print).not.toContain(secret.slice(0, 8))
      expect(print).not.toContain('07 07')
    }
  })
})
