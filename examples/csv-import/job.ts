import { setTimeout } from 'node:timers/promises'
import { defineJob } from '@coji/durably'
import type { Kysely } from 'kysely'
import { z } from 'zod'
import { insertAirports, readAirports, type Tables } from './airports.ts'

const ROWS_PER_STEP = 400
const ROWS_PER_INSERT = 25
// So that you can watch. A real import would not wait.
const PACE_MS = 50

/** Imports a CSV file of airports, one step for each batch of rows. */
export function createImportAirports(db: Kysely<Tables>) {
  return defineJob({
    name: 'import-airports',
    input: z.object({ file: z.string() }),
    output: z.object({ airports: z.number() }),
    run: async (step, { file }) => {
      const total = await step.run('count rows', (_signal, { log }) => {
        const { length } = readAirports(file)
        log.info(`${length} rows in the file`)
        return length
      })

      for (let start = 0; start < total; start += ROWS_PER_STEP) {
        const end = Math.min(start + ROWS_PER_STEP, total)
        const name = `rows ${start + 1}-${end}`

        await step.run(name, async (signal, { log }) => {
          const airports = readAirports(file)
          let added = 0
          for (let at = start; at < end; at += ROWS_PER_INSERT) {
            const next = Math.min(at + ROWS_PER_INSERT, end)
            added += await insertAirports(db, airports.slice(at, next))
            step.progress(next, total, name)
            await setTimeout(PACE_MS, undefined, { signal })
          }
          log.info(`${added} rows inserted, ${end - start - added} were there already`)
          return { added }
        })
      }
      return { airports: total }
    },
  })
}
