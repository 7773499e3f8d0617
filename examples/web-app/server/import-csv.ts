import { createReadStream } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { defineJob } from '@coji/durably'
import { parse } from 'csv-parse'
import { z } from 'zod'
import { database, folder } from './database.ts'

const BATCH = 25

const rowSchema = z.object({ name: z.string().min(1), email: z.email() })

/** Reads an uploaded file in batches. A batch is a step: whatever dies in the middle, no batch is lost or done twice. */
export const importCsv = defineJob({
  name: 'import-csv',
  input: z.object({ file: z.string(), name: z.string(), pace: z.number().min(0).default(150) }),
  output: z.object({ rows: z.number() }),
  run: async (step, { file, name, pace }) => {
    const total = await step.run('count rows', async (_, { log }) => {
      const { length } = await readRows(file)
      log.info(`${name} has ${length} rows`)
      return length
    })
    for (let from = 0; from < total; from += BATCH) {
      const to = Math.min(from + BATCH, total)
      await step.run(`rows ${from + 1} to ${to}`, async (_, { log }) => {
        await sleep(pace)
        insert(step.runId, from, (await readRows(file)).slice(from, to))
        log.info(`rows ${from + 1} to ${to} are in`)
      })
      step.progress(to, total, `${to} of ${total} rows`)
    }
    return { rows: total }
  },
})

async function readRows(file: string): Promise<unknown[]> {
  const rows: unknown[] = []
  const lines = createReadStream(join(folder, file)).pipe(parse({ columns: true, trim: true }))
  for await (const row of lines) rows.push(row)
  return rows
}

/** All rows of a batch or none; a batch that is inserted again, because its step was cut off, changes nothing. */
function insert(importId: string, from: number, rows: readonly unknown[]): void {
  const statement = database.prepare('insert or ignore into customers values (?, ?, ?, ?)')
  for (const [i, row] of rows.entries()) {
    const line = from + i + 2
    const { data, error } = rowSchema.safeParse(row)
    if (data === undefined) {
      throw new Error(`Line ${line}: ${error.issues.map(({ message }) => message).join(', ')}`)
    }
    statement.run(importId, line, data.name, data.email)
  }
}
