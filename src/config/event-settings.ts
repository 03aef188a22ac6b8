import { parsePrivateHosts } from './private-hosts.ts'
import { settingNotes } from './setting-notes.ts'
import { parsed, path, wholeNumber } from './setting-values.ts'

/** A target gives up after a day at most. */
const maxWaitMs = 24 * 60 * 60 * 1000

/** Where events may be sent, and how often. */
export const eventSettings = {
  eventsPrivateHosts: parsed(
    parsePrivateHosts,
    'write hosts with commas between them, each once, with a port where it is not 443, and with the accounts where it is not for the home account alone, such as hooks.corp.example,ci.corp.example:8443=123456789012+210987654321,chat.corp.example=*',
  )
    .prefault('')
    .register(settingNotes, {
      env: 'STOWAGE_EVENTS_PRIVATE_HOSTS',
      group: 'Operation',
      form: '`host[:port][=accounts]` list',
      description:
        'Receivers of events that may have private or loopback addresses; events are sent to public addresses and to these only. A host is for destinations of the home account (`STOWAGE_ACCOUNT_ID`) alone unless others are written: `ci.corp.example=123456789012+210987654321`, or `=*` for every account.',
      unset: 'public addresses only',
    }),
  eventsCaFile: path.optional().register(settingNotes, {
    env: 'STOWAGE_EVENTS_CA_FILE',
    group: 'Operation',
    form: 'path',
    description: "Authorities, in PEM, that are trusted beside the system's when events are sent. Read again for every event.",
    unset: "the system's authorities, and those of `NODE_EXTRA_CA_CERTS`",
  }),
  eventsLongestWaitMs: wholeNumber(100, maxWaitMs, 'milliseconds')
    .prefault('600000')
    .register(settingNotes, {
      env: 'STOWAGE_EVENTS_LONGEST_WAIT_MS',
      group: 'Operation',
      form: 'milliseconds',
      description: 'The longest wait between two attempts to send an event. The first wait is a second, and each is about twice as long as the one before.',
    }),
}
