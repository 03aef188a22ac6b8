import { expect, it } from 'vitest'
import { isTestCode } from '../../scripts/lint/layer-table.ts'
import { filesUnder, readProjectFile } from '../repo/tree.ts'

/**
 * Comparisons of secrets that take as long as the secrets are alike, and why they may: none has a caller's text on
 * one side and a secret on the other.
 */
const allowed: readonly string[] = [
  // At the start, of the operator's own setting with what the database has.
  'src/iam/credentials.ts: unsealSecret(keyring, accessKeyId, key.secret_sealed) === secretAccessKey',
  // Of the operator's own file, that its text is the one way to write its bytes.
  "src/iam/keyring-document.ts: bytes.toString('base64') !== secret",
  // Two secrets of the server: the one that a key was derived from, and the one there is now.
  'src/http/aws/sigv4.ts: entry?.secretAccessKey === secretAccessKey',
  // The tokens of a pattern of a policy, which is no secret.
  'src/iam/policy/conditions.ts: token === anyRun',
  'src/iam/policy/pattern.ts: token === anyRun',
  'src/iam/policy/repository-names.ts: token === anyRun',
  'src/iam/policy/repository-names.ts: token === anyCharacter || token === character',
]

it('CVE-2023-20902: secrets, signatures and tokens are compared in constant time', () => {
  const secret = /(?:secret|secretAccessKey|password|signature|mac|token|sealed)(?:\.toString\(['"\w]*\)|[?!)\]])*$/i
  const literal = /^(?:undefined|null|true|false|['"\d].*)\)*$/
  const operands = /([\w.?!()'"[\]]+)\s*[!=]==\s*([\w.?!()'"[\]]+)/g
  const found = filesUnder('src/', '.ts')
    .filter((path) => !isTestCode(path))
    .flatMap((path) => readProjectFile(path).split('\n').map((line) => ({ path, line: line.trim() })))
    .filter(({ line }) => !line.startsWith('*') && !line.startsWith('//'))
    .flatMap(({ path, line }) => [...line.matchAll(operands)]
        .filter(([, left = '', right = '']) => (secret.test(left) || secret.test(right)) && !literal.test(left) && !literal.test(right))
        .map(() => `${path}: ${line}`),
    )
    .filter((entry) => !allowed.some((known) => {
      const [path = '', comparisonText = ''] = known.split(': ')
      return entry.startsWith(`${path}:`) && entry.includes(comparisonText)
    }))
  expect(found).toEqual([])
})
