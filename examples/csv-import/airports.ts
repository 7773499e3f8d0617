import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { isDeepStrictEqual } from 'node:util'
import { parse } from 'csv-parse/sync'
import type { Kysely } from 'kysely'

export type Airport = {
  iata: string
  name: string
  city: string
  state: string
  country: string
  latitude: string
  longitude: string
}

export type Tables = {
  airports: Airport
}

/** 3,376 airports, as a table of the npm package vega-datasets. */
export const airportsFile = fileURLToPath(
  new URL('../data/airports.csv', import.meta.resolve('vega-datasets')),
)

export function readAirports(file: string): Airport[] {
  return parse<Airport>(readFileSync(file), { columns: true })
}

export async function createAirportsTable(db: Kysely<Tables>): Promise<void> {
  await db.schema
    .createTable('airports')
    .ifNotExists()
    .addColumn('iata', 'text', (column) => column.primaryKey())
    .addColumn('name', 'text', (column) => column.notNull())
    .addColumn('city', 'text', (column) => column.notNull())
    .addColumn('state', 'text', (column) => column.notNull())
    .addColumn('country', 'text', (column) => column.notNull())
    .addColumn('latitude', 'text', (column) => column.notNull())
    .addColumn('longitude', 'text', (column) => column.notNull())
    .execute()
}

/**
 * Inserts those that are not there yet; returns how many that were. A step that was cut off runs again, and
 * meets its own rows: what it does must come to the same when it is done twice.
 */
export async function insertAirports(db: Kysely<Tables>, airports: Airport[]): Promise<number> {
  const result = await db
    .insertInto('airports')
    .values(airports)
    .onConflict((conflict) => conflict.column('iata').doNothing())
    .executeTakeFirst()
  return Number(result.numInsertedOrUpdatedRows)
}

export interface Findings {
  rows: number
  codes: number
  sameAsFile: boolean
}

/** What the table holds, compared with the file it was imported from. */
export async function inspectAirports(db: Kysely<Tables>, file: string): Promise<Findings> {
  const { rows, codes } = await db
    .selectFrom('airports')
    .select(({ fn }) => [
      fn.countAll<number>().as('rows'),
      fn.count<number>('iata').distinct().as('codes'),
    ])
    .executeTakeFirstOrThrow()
  const stored = await db.selectFrom('airports').selectAll().execute()
  const sameAsFile = isDeepStrictEqual(byCode(stored), byCode(readAirports(file)))
  return { rows, codes, sameAsFile }
}

function byCode(airports: Airport[]): Airport[] {
  return airports.map((airport) => ({ ...airport })).sort((a, b) => (a.iata < b.iata ? -1 : 1))
}
