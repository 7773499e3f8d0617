import type { RunRecord } from '../../core/run.ts'
import type { JournalPage } from '../store.ts'
import type { Database } from './database.ts'
import { toEntry } from './journal.ts'
import { runColumns, toRunRecord } from './run-row.ts'
import type { Sql } from './sql.ts'

export function createRead(sql: Sql, database: Database) {
  const { runs, journal } = sql.tables
  const select = `select ${runColumns(sql.tables)} from ${runs} r`
  const selectRun = sql.read(`${select} where r.id = $id::text`)
  const selectRuns = sql.read(`
    ${select} where r.id in (select t.value from ${sql.texts('t', '$ids')})`)
  const selectEntries = sql.read(`
    select e.seq, e.generation, e.kind, e.name, e.at, e.data from ${journal} e
    where e.run_id = $runId::text and e.seq > $after::int8
    order by e.seq limit $limit::int8`)

  const run = createGathered(async (ids) => {
    const [id] = ids
    const rows = await (ids.length === 1
      ? database.rows(selectRun, { id })
      : database.rows(selectRuns, { ids: JSON.stringify(ids) }))
    return rows.map(toRunRecord)
  })

  return {
    run,
    // The run first: what its status speaks of is then among the entries.
    journal: async (runId: string, after: number, limit: number): Promise<JournalPage | null> => {
      const record = await run(runId)
      if (record === null) return null
      const rows = await database.rows(selectEntries, { runId, after, limit })
      return { run: record, entries: rows.map((row) => toEntry(runId, row)) }
    },
  }
}

// One that gets no answer does not keep the others from theirs.
const MAX_UNDER_WAY = 2

type Asked = PromiseWithResolvers<RunRecord | null>

/** Reads runs by id. Those asked for while others are read share the next statement: a hundred may end at once. */
function createGathered(
  read: (ids: readonly string[]) => Promise<readonly RunRecord[]>,
): (id: string) => Promise<RunRecord | null> {
  let gathered = new Map<string, Asked>()
  let isGathering = false
  let underWay = 0

  function readSoon(): void {
    if (isGathering || underWay === MAX_UNDER_WAY || gathered.size === 0) return
    isGathering = true
    underWay++
    void readGathered().finally(() => {
      underWay--
      readSoon()
    })
  }

  async function readGathered(): Promise<void> {
    // What is asked for in the same breath comes along.
    await Promise.resolve()
    isGathering = false
    const asked = gathered
    gathered = new Map()
    try {
      const found = new Map((await read([...asked.keys()])).map((run) => [run.id, run]))
      for (const [id, { resolve }] of asked) resolve(found.get(id) ?? null)
    } catch (error) {
      for (const { reject } of asked.values()) reject(error)
    }
  }

  return (id) => {
    const asked = gathered.get(id) ?? Promise.withResolvers<RunRecord | null>()
    gathered.set(id, asked)
    readSoon()
    return asked.promise
  }
}
