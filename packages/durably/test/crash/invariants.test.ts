import BetterSqlite from 'better-sqlite3'
import { expect, test } from 'vitest'
import { createDurably } from '../../src/index.ts'
import { sqliteDialect } from '../../src/sqlite.ts'
import { createCrowdJobs } from './crowd-jobs.ts'
import { brokenInvariants, type impossible } from './invariants.ts'

/** What brings about each, in a database with one completed run, and one that is pending under a key. */
const breaks: Record<keyof typeof impossible, string> = {
  'two heads of a concurrency key': `
    update durably_runs set concurrency_key = 'key', holds_key = true where status = 'completed'`,
  'a key whose runs wait for nobody': `update durably_runs set ready = false`,
  'a key that counts its runs wrong': `update durably_keys set runs = runs + 1`,
  'an active run without its key': `delete from durably_keys`,
  'a run held by nobody': `
    update durably_runs set status = 'running', worker = 'gone' where status = 'pending'`,
  'a holder of what does not run': `update durably_runs set worker = 'someone'`,
  'ready, but not pending': `update durably_runs set ready = true where status = 'completed'`,
  'two runs of one idempotency key': `
    drop index durably_runs_idempotency; update durably_runs set idempotency_key = 'once', job = 'plain'`,
  'a gap in a journal': `update durably_journal set seq = seq + 1 where kind = 'run:complete'`,
  'a status that the journal does not know': `
    update durably_runs set status = 'failed' where status = 'completed'`,
  'a journal without a run': `delete from durably_runs where status = 'completed'`,
  'labels without a run': `insert into durably_labels values ('a', 'b', 'gone')`,
  'a mailbox without a run': `
    insert into durably_mailbox (run_id, seq, id, kind, name, at, is_read)
    values ('gone', 1, 'id', 'signal', 'go', 0, false)`,
  'a waiter without a run': `insert into durably_waiters values ('target', 'gone')`,
}

test.each(Object.entries(breaks))('%s is seen', async (what, sql) => {
  const database = new BetterSqlite(':memory:')
  const jobs = createCrowdJobs('unused', () => Promise.reject(new Error('It has no children')))
  const durably = createDurably({ dialect: sqliteDialect({ database }), jobs })
  await durably.migrate()
  await durably.jobs.flaky.trigger({})
  await durably.processUntilIdle()
  await durably.jobs.patient.trigger({}, { concurrencyKey: 'key' })
  expect(await brokenInvariants(durably.db)).toEqual([])

  database.exec(sql)

  const broken = await brokenInvariants(durably.db)
  expect(broken.map((found) => found.split(': ')[0])).toContain(what)
  await durably.close()
  database.close()
})
