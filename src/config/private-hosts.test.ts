import { expect, it } from 'vitest'
import { parseAccountId } from '../values/account.ts'
import { mayUsePrivateHost, parsePrivateHosts } from './private-hosts.ts'

const home = parseAccountId('000000000000')
const other = '123456789012'

function usersOf(text: string, host: string): string[] {
  const hosts = parsePrivateHosts(text)!
  return [home, other, '210987654321'].filter((accountId) => mayUsePrivateHost(hosts, home, host, accountId))
}

it('keeps a private host to the home account unless others are written', () => {
  const text = 'gitlab.example, Corp.example:8443=123456789012+210987654321,[::1]:6443=*'

  expect(usersOf(text, 'gitlab.example:443')).toEqual([home])
  expect(usersOf(text, 'corp.example:8443')).toEqual([other, '210987654321'])
  expect(usersOf(text, '::1:6443')).toEqual([home, other, '210987654321'])
  expect(usersOf(text, 'corp.example:443')).toEqual([])
  expect(usersOf('', 'gitlab.example:443')).toEqual([])
})

it.each([
  'https://a.example',
  'a.example/path',
  'u@a.example',
  '=*',
  'a.example=',
  'a.example=1234',
  'a.example=*+123456789012',
  'a.example=123456789012+',
  'a.example=123456789012=*',
  'a.example,a.example:443=*',
])('refuses %j', (text) => {
  expect(parsePrivateHosts(text)).toBeUndefined()
})
