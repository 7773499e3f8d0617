import type { Session } from './database.ts'
import type { Sql } from './sql.ts'

/**
 * Concurrency keys. At most one run of a key is its head: ready to be claimed, or holding the key until it ends.
 * Who may change the head locks the key's row first, changes runs, and then settles the key; what the statements
 * of `settle` look at cannot move, since everything that could move it waits for that lock.
 */
export interface Keys {
  /** Locks the keys, and counts the runs that come to each; 0 to lock alone. */
  lock(session: Session, coming: ReadonlyMap<string, number>): Promise<void>
  /**
   * Runs that `settle` may change, once those that leave have left the locked keys: to be locked in order with all
   * others. Only a claim can still take one away.
   */
  heads(
    session: Session,
    keys: Iterable<string>,
    leaving?: readonly string[],
  ): Promise<readonly string[]>
  /** Counts the runs that left each locked key, and forgets keys without runs. */
  leave(session: Session, leaving: ReadonlyMap<string, number>): Promise<void>
  /** Makes the first run of each locked key ready, unless one runs. */
  settle(session: Session, keys: Iterable<string>): Promise<void>
}

/** How many there are of each; runs without a key do not count. */
export function countKeys(keys: Iterable<string | null>): Map<string, number> {
  const counts = new Map<string, number>()
  for (const key of keys) {
    if (key !== null) counts.set(key, (counts.get(key) ?? 0) + 1)
  }
  return counts
}

export function addCounts(to: Map<string, number>, counts: ReadonlyMap<string, number>): void {
  for (const [key, count] of counts) to.set(key, (to.get(key) ?? 0) + count)
}

export function createKeys(sql: Sql): Keys {
  const { keys, runs } = sql.tables
  const counted = sql.rows('b', '$counts', { key: 'text', runs: 'int8' })
  const lock = sql.write(`
    insert into ${keys} as k (key, runs)
    select b.key, b.runs from ${counted} where true order by b.key
    on conflict (key) do update set runs = k.runs + excluded.runs`)
  const leave = sql.write(`
    update ${keys} as k set runs = k.runs - b.runs from ${counted} where k.key = b.key`)
  const forget = sql.write(`
    delete from ${keys} where runs <= 0 and key in (select value from ${sql.texts('t', '$keys')})`)
  // The second line is the condition of their index.
  const isReady = `
    r.concurrency_key = t.value
    and r.concurrency_key is not null and (r.ready or r.holds_key)
    and r.ready and not r.holds_key`
  const stays = `p.id not in (select x.value from ${sql.texts('x', '$leaving')})`
  const heads = sql.read(`
    select r.id from ${sql.texts('t', '$keys')} join ${runs} r on ${isReady}
    union
    select f.id from (
      select (${firstInLine(runs, stays)}) as id from ${sql.texts('t', '$keys')}
    ) as f where f.id is not null`)
  const unready = sql.write(`
    update ${runs} as r set ready = false from ${sql.texts('t', '$keys')}
    where ${isReady}
      and r.id <> (${firstInLine(runs)})`)
  const ready = sql.write(`
    update ${runs} as r set ready = true from ${sql.texts('t', '$keys')}
    where r.id = (${firstInLine(runs)})
      and not exists (
        select 1 from ${runs} h
        where h.concurrency_key = t.value and h.concurrency_key is not null and (h.ready or h.holds_key))`)

  return {
    lock: (session, coming) => count(session, lock, coming),
    heads: async (session, settled, leaving = []) => {
      const names = JSON.stringify([...settled])
      // Where writers are alone, nothing has to be locked in an order.
      if (names === '[]' || sql.forUpdate === '') return []
      const rows = await session.rows(heads, { keys: names, leaving: JSON.stringify(leaving) })
      return rows.map((row) => row.id as string)
    },
    leave: async (session, leaving) => {
      await count(session, leave, leaving)
      if (leaving.size > 0)
        await session.change(forget, { keys: JSON.stringify([...leaving.keys()]) })
    },
    settle: async (session, settled) => {
      const params = { keys: JSON.stringify([...settled]) }
      if (params.keys === '[]') return
      await session.change(unready, params)
      await session.change(ready, params)
    },
  }
}

async function count(
  session: Session,
  statement: ReturnType<Sql['write']>,
  counts: ReadonlyMap<string, number>,
): Promise<void> {
  if (counts.size === 0) return
  const rows = [...counts].map(([key, runs]) => ({ key, runs }))
  await session.change(statement, { counts: JSON.stringify(rows) })
}

/** The id of the first run in line for the key `t.value`. */
function firstInLine(runs: string, stays = 'true'): string {
  return `
    select p.id from ${runs} p
    where p.concurrency_key = t.value and p.status = 'pending' and p.wake_at is null and ${stays}
    order by p.due_at, p.id limit 1`
}
