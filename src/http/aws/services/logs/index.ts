import type { Keyring } from '../../../../iam/index.ts'
import type { Logs } from '../../../../logs/index.ts'
import type { AwsService } from '../../service.ts'
import { validationError } from '../../shapes.ts'
import { PageTokens } from '../ecr/page-token.ts'
import { groupOperations } from './groups.ts'
import { lineOperations } from './lines.ts'
import { streamOperations } from './streams.ts'
import { tagOperations } from './tags.ts'

/** CloudWatch Logs, as far as docs/operations/logs.md says. */
export function createLogsService({ logs, keyring }: { readonly logs: Logs; readonly keyring: Keyring }): AwsService {
  const pageTokens = new PageTokens(keyring)
  return {
    name: 'logs',
    settingsName: 'cloudwatch_logs',
    protocol: 'json',
    signingName: 'logs',
    targetPrefix: 'Logs_20140328',
    operations: {
      ...groupOperations({ logs, pageTokens }),
      ...streamOperations({ logs, pageTokens }),
      ...lineOperations({ logs, pageTokens }),
      ...tagOperations({ logs }),
    },
    serverFault: 'ServiceUnavailableException',
    invalidInput: validationError('InvalidParameterException'),
  }
}
