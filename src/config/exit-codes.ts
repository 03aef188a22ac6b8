/** How the `stowage` command ends. Scripts and service managers rely on these: a meaning never changes. */
export const exitCodes = {
  ok: { code: 0, meaning: 'Done; for `serve`: stopped by a signal, also when the drain time-out cut requests off.' },
  failed: { code: 1, meaning: 'Failed in a way that has no code of its own.' },
  usage: { code: 2, meaning: 'A wrong command line or setting; nothing was started or changed.' },
  listen: { code: 3, meaning: 'The address could not be listened on: the port is in use, or not allowed.' },
  dataDir: { code: 4, meaning: 'The data folder is in use by another process, or may not be written.' },
  database: { code: 5, meaning: 'The database cannot be reached.' },
  pending: { code: 6, meaning: '`migrate --check`: the database has migrations to run.' },
  nodeVersion: { code: 7, meaning: 'The Node that runs the command is too old.' },
  findings: { code: 8, meaning: '`verify`, `backup`, `restore`: something is damaged or missing; `gc reconcile`: store and database do not agree; `trash restore`: something did not come back. The output says what.' },
  databaseNewer: { code: 10, meaning: 'A newer version of Stowage has written the database; nothing was touched.' },
  interrupted: {
    code: 130,
    meaning: 'A second signal stopped the server before it had drained, or a signal stopped `verify`, `backup` or `restore` (143 for SIGTERM).',
  },
} as const
