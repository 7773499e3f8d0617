import { type Kysely, sql } from 'kysely'
import { activeStatuses, transitions } from '../../src/core/transitions.ts'

const active = `(${activeStatuses.map((status) => `'${status}'`).join(', ')})`

/** Each status with the events that lead to it. */
const arrivals = Object.values(transitions)
  .flatMap(({ to, event }) => (to === null ? [] : [`('${to}', '${event}')`]))
  .join(', ')

const withoutRun = (table: string) => `
  select t.run_id from durably_${table} t
  where not exists (select 1 from durably_runs r where r.id = t.run_id)`

/** What must select no row at any moment, whoever does what. */
export const impossible = {
  'two heads of a concurrency key': `
    select concurrency_key from durably_runs
    where concurrency_key is not null and (ready or holds_key)
    group by concurrency_key having count(*) > 1`,
  'a key whose runs wait for nobody': `
    select k.key from durably_keys k
    where exists (
        select 1 from durably_runs r
        where r.concurrency_key = k.key and r.status = 'pending' and r.wake_at is null)
      and not exists (
        select 1 from durably_runs r where r.concurrency_key = k.key and (r.ready or r.holds_key))`,
  'a key that counts its runs wrong': `
    select k.key, k.runs from durably_keys k
    where k.runs <> (
      select count(*) from durably_runs r where r.concurrency_key = k.key and r.status in ${active})`,
  'an active run without its key': `
    select r.id from durably_runs r
    where r.concurrency_key is not null and r.status in ${active}
      and not exists (select 1 from durably_keys k where k.key = r.concurrency_key)`,
  'a run held by nobody': `
    select r.id from durably_runs r
    where r.status = 'running'
      and not exists (select 1 from durably_workers w where w.id = r.worker)`,
  'a holder of what does not run': `
    select id, status from durably_runs where status <> 'running' and worker is not null`,
  'ready, but not pending': `select id, status from durably_runs where ready and status <> 'pending'`,
  'two runs of one idempotency key': `
    select job, idempotency_key from durably_runs
    where idempotency_key is not null group by job, idempotency_key having count(*) > 1`,
  'a gap in a journal': `
    select run from durably_journal group by run having count(*) <> max(seq)`,
  'a status that the journal does not know': `
    select r.id, r.status, e.kind from durably_runs r join durably_journal e on e.run = r.number
    where e.seq = (
        select max(l.seq) from durably_journal l
        where l.run = r.number and l.kind like 'run:%' and l.kind <> 'run:coalesced')
      and (r.status, e.kind) not in (values ${arrivals})`,
  'a journal without a run': `
    select e.run from durably_journal e
    where not exists (select 1 from durably_runs r where r.number = e.run)`,
  'labels without a run': withoutRun('labels'),
  'a mailbox without a run': withoutRun('mailbox'),
  'a waiter without a run': withoutRun('waiters'),
}

/** What is impossible, and the first row that shows it. */
export async function brokenInvariants(db: Kysely<unknown>): Promise<string[]> {
  const broken: string[] = []
  for (const [what, query] of Object.entries(impossible)) {
    const { rows } = await sql.raw(query).execute(db)
    if (rows.length > 0) broken.push(`${what}: ${JSON.stringify(rows[0])}`)
  }
  return broken
}
