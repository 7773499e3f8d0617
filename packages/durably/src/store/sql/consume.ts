import type { Commit } from '../store.ts'
import type { Session } from './database.ts'
import type { Sql } from './sql.ts'

/**
 * What commits that went in take out of mailboxes, and the tokens they hand out. A message that is read stays without
 * its data, so that it is known when it is sent again.
 */
export type Consume = (session: Session, commits: readonly Commit[]) => Promise<void>

export function createConsume(sql: Sql): Consume {
  const { mailbox, tokens } = sql.tables
  const read = sql.write(`
    update ${mailbox} as m set is_read = true, format = null, data = null
    from ${sql.rows('b', '$read', { run_id: 'text', seq: 'int8' })}
    where m.run_id = b.run_id and m.seq = b.seq and not m.is_read`)
  const handOut = sql.write(`
    insert into ${tokens} (hash, run_id, name, expires_at)
    select b.hash, b.run_id, b.name, b.expires_at
    from ${sql.rows('b', '$tokens', {
      hash: 'text',
      run_id: 'text',
      name: 'text',
      expires_at: 'int8',
    })}
    where true
    on conflict (hash) do nothing`)

  return async (session, commits) => {
    const positions = commits.flatMap(({ lease, consumes = [] }) =>
      consumes.map((seq) => ({ run_id: lease.runId, seq })),
    )
    if (positions.length > 0) await session.change(read, { read: JSON.stringify(positions) })
    const handed = commits.flatMap(({ lease, tokens: made = [] }) =>
      made.map(({ hash, name, expiresAt }) => {
        return { hash, run_id: lease.runId, name, expires_at: expiresAt }
      }),
    )
    if (handed.length > 0) await session.change(handOut, { tokens: JSON.stringify(handed) })
  }
}
