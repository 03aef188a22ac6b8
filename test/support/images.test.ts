import { spawnSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { gunzipSync } from 'node:zlib'
import { expect, test } from 'vitest'
import { helloProgram } from './hello-program.ts'
import { buildBuildkitCache, buildIndex, buildImage, buildRandomImage, digestOf, randomContent, tar } from './images.ts'
import { run } from './run.ts'
import { createTempDir } from './temp-dir.ts'

test('the hello program runs without any library and prints its line', async () => {
  const dir = createTempDir('hello')
  const program = join(dir.path, 'hello')
  writeFileSync(program, helloProgram('hello from scratch'), { mode: 0o755 })

  const result = await run(program, [])

  expect(result.stdout).toBe('hello from scratch\n')
  expect(helloProgram('line', 'arm64').readUInt16LE(18)).toBe(183)
  dir.remove()
})

test('tar archives are read by tar itself', () => {
  const archive = tar([
    { path: 'etc/motd', content: 'welcome\n' },
    { path: 'bin/tool', content: randomContent(1000, 'tool'), mode: 0o755 },
  ])

  const listing = spawnSync('tar', ['-tvf', '-'], { input: archive, encoding: 'utf8' }).stdout

  expect(listing).toMatch(/^-rw-r--r-- 0\/0 +8 1970-01-01 .* etc\/motd\n-rwxr-xr-x 0\/0 +1000 1970-01-01 .* bin\/tool\n$/)
})

test('the same options give the same bytes, another seed gives others', () => {
  expect(buildRandomImage([5000, 10], 'a')).toEqual(buildRandomImage([5000, 10], 'a'))
  expect(buildRandomImage([5000, 10], 'a').manifest.digest).not.toBe(buildRandomImage([5000, 10], 'b').manifest.digest)
})

test.each(['oci', 'docker'] as const)('an image of format %s names its parts by digest and size', (format) => {
  const image = buildImage({ format, seed: 'parts' })
  const [config, layer] = image.blobs
  const manifest = JSON.parse(image.manifest.bytes.toString())

  expect(manifest.config).toEqual({ mediaType: config?.mediaType, digest: config?.digest, size: config?.bytes.length })
  expect(manifest.layers).toEqual([{ mediaType: layer?.mediaType, digest: layer?.digest, size: layer?.bytes.length }])
  const diffId = digestOf(gunzipSync(layer?.bytes ?? Buffer.alloc(0)))
  expect(JSON.parse(String(config?.bytes)).rootfs.diff_ids).toEqual([diffId])
})

test('an index lists its children with their platforms, a BuildKit cache lists blobs', () => {
  const child = buildImage({ platform: { os: 'linux', architecture: 'arm64' } })
  const index = JSON.parse(buildIndex([child]).manifest.bytes.toString())
  const cache = buildBuildkitCache('seed')

  expect(index.manifests).toMatchObject([{ digest: child.manifest.digest, platform: { architecture: 'arm64' } }])
  expect(JSON.parse(cache.manifest.bytes.toString()).manifests).toMatchObject(
    cache.blobs.map((blob) => ({ digest: blob.digest, mediaType: blob.mediaType })),
  )
})
