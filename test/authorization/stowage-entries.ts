import type { Entry, EntryTable } from './entry.ts'
import { absentDigest, homeAccount, otherAccount, type Place } from './places.ts'

/** An operation on the accounts of the installation; they belong to its own account, whoever asks. */
function entry(operation: string, granted: string, inputOf: (place: Place) => object): Entry {
  return {
    subject: 'installation',
    needs: [`stowage:${operation}`],
    resource: `arn:aws:stowage::${homeAccount}:account/any`,
    granted,
    request: (place) => ({ protocol: 'json', service: 'stowage', target: `Stowage_V1.${operation}`, input: inputOf(place) }),
  }
}

type Call = Pick<Entry, 'granted' | 'changes'> & { readonly input?: object; readonly needs?: readonly string[] }

/** An operation on a repository. */
function onRepository(operation: string, { input, ...call }: Call): Entry {
  return {
    subject: 'repository',
    needs: [`stowage:${operation}`],
    ...call,
    request: ({ accountId, repository }) => ({
      protocol: 'json',
      service: 'stowage',
      target: `Stowage_V1.${operation}`,
      input: { registryId: accountId, repositoryName: repository, ...input },
    }),
  }
}

export const stowageEntries: EntryTable = {
  'stowage:CreateAccount': entry('CreateAccount', 'AccountAlreadyExistsException', () => ({ accountId: otherAccount, name: 'again' })),
  'stowage:DescribeAccount': entry('DescribeAccount', 'AccountNotFoundException', ({ repository }) => ({ accountId: repository })),
  'stowage:ListAccounts': entry('ListAccounts', '200', () => ({})),
  'stowage:ReplaceRootCredential': entry('ReplaceRootCredential', 'AccountNotFoundException', ({ repository }) => ({ accountId: repository })),

  'stowage:DescribeImage': onRepository('DescribeImage', { input: { imageId: { imageTag: 'v1' } }, granted: '200' }),
  'stowage:SetImageRetirement': onRepository('SetImageRetirement', {
    input: { imageId: { imageDigest: absentDigest }, state: 'DEPRECATED', reason: 'matrix' },
    granted: 'ImageNotFoundException',
  }),
}
