import type { Config, RootCredential } from '../config/index.ts'
import { selfSignedPaths } from '../config/index.ts'
import { exportLine, programWords, shellWord, type Invocation } from './command-line.ts'

export interface StartupFacts {
  readonly config: Config
  readonly url: string
  readonly accessKeyId: string
  /** Where the secret is kept; undefined where it came from the environment. */
  readonly credentialFile: string | undefined
  readonly createdNow: boolean
  /** Set only where the reader asked for it and sits at a terminal: whatever is printed elsewhere ends up in a log. */
  readonly shownSecret: RootCredential | undefined
  readonly invocation: Invocation
  readonly version: string
}

/** What a person needs after the start: lines to paste into a second terminal. */
export function startupText(facts: StartupFacts): string {
  const { config, url } = facts
  const endpoint = config.publicUrl ?? url
  const registry = new URL(endpoint).host
  const region = config.region
  const blocks = [
    `Stowage ${facts.version} listens on ${url}; data in ${config.dataDir}`,
    tlsText(facts, endpoint),
    [
      'In another terminal:',
      '',
      `    ${exportLine({ AWS_ENDPOINT_URL: endpoint, AWS_REGION: region, AWS_DEFAULT_REGION: region })}`,
      `    ${credentialLine(facts)}`,
      ...aliasLines(facts.invocation),
      `    aws ecr get-login-password | docker login --username AWS --password-stdin ${shellWord(registry)}`,
    ].join('\n'),
    [
      'AWS_ENDPOINT_URL sends every AWS call here. In a shell that also talks to AWS itself, name the services instead:',
      '',
      `    ${exportLine({ ...serviceEndpoints(endpoint), AWS_REGION: region, AWS_DEFAULT_REGION: region })}`,
    ].join('\n'),
    credentialText(facts),
    'Stowage does not encrypt what it stores: encrypt the volume under the data folder if you need that.',
    'Stop with Ctrl-C.',
  ]
  return `${blocks.filter((block) => block !== '').join('\n\n')}\n`
}

/** Of the services of AWS that are served; the names are those of AWS's clients, so that EventBridge is not `events`. */
function serviceEndpoints(url: string): Record<string, string> {
  return Object.fromEntries(['ECR', 'IAM', 'STS', 'CLOUDTRAIL', 'EVENTBRIDGE', 'CLOUDWATCH'].map((service) => [`AWS_ENDPOINT_URL_${service}`, url]))
}

/** Guides write `stowage`, which is no program where this one was not installed. */
function aliasLines(invocation: Invocation): string[] {
  const words = programWords(invocation)
  return words === 'stowage' ? [] : [`    alias stowage=${shellWord(words)}`]
}

function credentialLine(facts: StartupFacts): string {
  if (facts.shownSecret !== undefined) {
    const { accessKeyId, secretAccessKey } = facts.shownSecret
    return exportLine({ AWS_ACCESS_KEY_ID: accessKeyId, AWS_SECRET_ACCESS_KEY: secretAccessKey })
  }
  // The secret is the operator's own, and this shell may not have it.
  if (facts.credentialFile === undefined) {
    return exportLine({ AWS_ACCESS_KEY_ID: facts.accessKeyId, AWS_SECRET_ACCESS_KEY: '…' }).replace("'…'", '…')
  }
  return `eval "$(${ownCommand(facts, 'credentials --export')})"`
}

function credentialText(facts: StartupFacts): string {
  if (facts.credentialFile === undefined) return `The access key ${facts.accessKeyId} and its secret come from the environment.`
  const made = facts.createdNow ? 'was made just now' : 'is in use'
  return `The access key ${facts.accessKeyId} ${made}; its secret is in ${facts.credentialFile}, readable by you only.`
}

function tlsText(facts: StartupFacts, endpoint: string): string {
  if (facts.config.tls.mode !== 'self-signed') return ''
  return [
    'The certificate is self-signed. Tell clients to trust it (more with `trust --help`):',
    '',
    `    ${exportLine({ AWS_CA_BUNDLE: selfSignedPaths(facts.config.dataDir).caCertFile })}`,
    `    sudo ${ownCommand(facts, `trust --install --host ${shellWord(new URL(endpoint).host)}`)}`,
  ].join('\n')
}

/** A command of this program that finds this server's data from any folder; `env` is what `sudo` lets through. */
function ownCommand(facts: StartupFacts, words: string): string {
  return `env STOWAGE_DATA_DIR=${shellWord(facts.config.dataDir)} ${programWords(facts.invocation)} ${words}`
}
