import type { Sql } from './sql.ts'

type Migration = (sql: Sql) => readonly string[]

/** From each version of the tables to the next; what was published is never changed. */
export const migrations: readonly Migration[] = [
  (sql) => [
    ...createTables(sql),
    ...createSharedTables(sql),
    ...createRunIndexes(sql),
    ...createMailTables(sql),
    ...createViews(sql),
  ],
]

function createTables({ tables, text, serial, clustered }: Sql): string[] {
  return [
    // Large columns come last: what is searched and changed often must not lie behind them.
    `create table ${tables.runs} (
      number ${serial},
      id ${text} unique not null,
      job ${text} not null,
      status ${text} not null,
      ready bool not null,
      priority int8 not null,
      due_at int8 not null,
      wake_at int8,
      expire_at int8,
      concurrency_key ${text},
      holds_key bool not null,
      worker ${text},
      generation int8 not null,
      attempt int8 not null,
      crashes int8 not null,
      inbox int8 not null,
      executing text,
      idempotency_key ${text},
      parent_run_id ${text},
      created_at int8 not null,
      updated_at int8 not null,
      started_at int8,
      completed_at int8,
      waiting_for text,
      progress text,
      labels text not null,
      payload_format text not null,
      payload text not null,
      output_format text,
      output text,
      error text
    )`,
    // By the number of its run: beside a run's id, most entries are small.
    `create table ${tables.journal} (
      run int8 not null,
      seq int8 not null,
      generation int8 not null,
      kind text not null,
      name text,
      at int8 not null,
      data text not null,
      primary key (run, seq)
    ) ${clustered}`,
  ]
}

/** What runs and workers share. */
function createSharedTables({ tables, prefix, text, clustered }: Sql): string[] {
  return [
    `create table ${tables.workers} (
      id ${text} primary key not null,
      expires_at int8 not null,
      seen_at int8 not null,
      jobs text not null
    ) ${clustered}`,
    `create table ${tables.keys} (
      key ${text} primary key not null,
      runs int8 not null
    ) ${clustered}`,
    `create table ${tables.jobs} (
      name ${text} primary key not null,
      paused bool not null
    ) ${clustered}`,
    `create table ${tables.labels} (
      name ${text} not null,
      value ${text} not null,
      run_id ${text} not null,
      primary key (name, value, run_id)
    ) ${clustered}`,
    `create index "${prefix}labels_run" on ${tables.labels} (run_id)`,
  ]
}

// Only what is claimable, blocked, delayed, held or ended is in the index that looks for it; no index has a
// column that heartbeats or steps write.
function createRunIndexes({ tables, prefix }: Sql): string[] {
  const index = (name: string, definition: string, unique = '') =>
    `create ${unique} index "${prefix}runs_${name}" on ${tables.runs} ${definition}`
  return [
    index('ready', '(job, priority desc, due_at, id) where ready'),
    index('wake', '(wake_at, id) where wake_at is not null'),
    index('expire', '(expire_at, due_at, id) where expire_at is not null and completed_at is null'),
    index('worker', '(worker) where worker is not null'),
    index('status', '(status, id)'),
    index('job', '(job, status, id)'),
    index('completed', '(completed_at, id) where completed_at is not null'),
    index('idempotency', '(job, idempotency_key) where idempotency_key is not null', 'unique'),
    index('head', '(concurrency_key) where concurrency_key is not null and (ready or holds_key)'),
    index(
      'queue',
      `(concurrency_key, due_at, id)
      where concurrency_key is not null and status = 'pending' and wake_at is null`,
    ),
    index(
      'unstarted',
      `(concurrency_key, job, due_at, id)
      where concurrency_key is not null and started_at is null and completed_at is null`,
    ),
  ]
}

function createMailTables({ tables, prefix, text, clustered }: Sql): string[] {
  return [
    `create table ${tables.mailbox} (
      run_id ${text} not null,
      seq int8 not null,
      id ${text} not null,
      kind ${text} not null,
      name text not null,
      at int8 not null,
      is_read bool not null,
      format text,
      data text,
      primary key (run_id, seq)
    ) ${clustered}`,
    // A message about a run that ended has that run's id, which an app may have given to a signal.
    `create unique index "${prefix}mailbox_id" on ${tables.mailbox} (run_id, id, kind)`,
    `create index "${prefix}mailbox_unread" on ${tables.mailbox} (run_id, seq) where not is_read`,
    `create table ${tables.tokens} (
      hash ${text} primary key not null,
      run_id ${text} not null,
      name text not null,
      expires_at int8,
      message_id text
    ) ${clustered}`,
    `create index "${prefix}tokens_run" on ${tables.tokens} (run_id)`,
    `create table ${tables.waiters} (
      target ${text} not null,
      run_id ${text} not null,
      primary key (target, run_id)
    ) ${clustered}`,
    `create index "${prefix}waiters_run" on ${tables.waiters} (run_id)`,
    `create table ${tables.deleted} (
      id ${text} primary key not null,
      at int8 not null
    ) ${clustered}`,
    `create index "${prefix}deleted_at" on ${tables.deleted} (at)`,
  ]
}

/** For people with a SQL prompt; the store itself does not read them. */
function createViews({ tables, json }: Sql): string[] {
  const data = json('e.data')
  return [
    `create view ${tables.steps} as
    select r.id as run_id, e.seq, e.name,
      case e.kind when 'step:complete' then 'completed' when 'step:fail' then 'failed'
        when 'step:retry' then 'retry' when 'step:wait' then 'waiting' else 'cancelled' end as status,
      e.at, ${data} ->> 'duration' as duration,
      case when coalesce(${data} ->> 'by', '') <> 'token' then ${data} -> 'output' end as output,
      ${data} -> 'error' as error, ${data} -> 'waits' as waits
    from ${tables.journal} e join ${tables.runs} r on r.number = e.run
    where e.kind in ('step:complete', 'step:fail', 'step:retry', 'step:wait', 'step:cancel')`,
    `create view ${tables.logs} as
    select r.id as run_id, e.seq, e.name as step, e.at,
      ${data} ->> 'level' as level, ${data} ->> 'message' as message, ${data} -> 'data' as data
    from ${tables.journal} e join ${tables.runs} r on r.number = e.run
    where e.kind = 'log:write'`,
  ]
}
