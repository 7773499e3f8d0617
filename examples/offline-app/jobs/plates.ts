import { sql, type Kysely } from 'kysely'

export type Bytes = Uint8Array<ArrayBuffer>

/** A picture scaled to the size of its print: four bytes for each pixel, row by row. */
export interface Negative {
  readonly width: number
  readonly height: number
  readonly pixels: Bytes
}

type Tables = {
  pictures: { id: string; file: Bytes }
  negatives: { run_id: string; width: number; height: number; pixels: Bytes }
  bands: { run_id: string; band: number; pixels: Bytes }
  prints: { run_id: string; image: Bytes }
}

/**
 * The pictures and what becomes of them, in the database of the runs. A step that was cut off is executed again, so all
 * that steps do here may be done twice and is then as if done once.
 */
export interface Plates {
  createTables(): Promise<void>
  addPicture(id: string, file: Bytes): Promise<void>
  picture(id: string): Promise<Bytes | null>
  keepNegative(runId: string, negative: Negative): Promise<void>
  /** The size of a negative; null before there is one, and when it was put away. */
  size(runId: string): Promise<Omit<Negative, 'pixels'> | null>
  /** Some of a negative's pixels: from the byte `from` on, at most `length` of them. */
  pixels(runId: string, from: number, length: number): Promise<Bytes>
  /** Says whether the band is new. */
  keepBand(runId: string, band: number, pixels: Bytes): Promise<boolean>
  /** The bands from a number on, in their order. */
  bands(runId: string, from: number): Promise<{ band: number; pixels: Bytes }[]>
  keepPrint(runId: string, image: Bytes): Promise<void>
  print(runId: string): Promise<Bytes | null>
  /** Removes what nobody needs once there is a print. */
  putAway(runId: string): Promise<void>
  /** Removes all there is of a run and of its picture. */
  forget(runId: string, pictureId: string): Promise<void>
}

export function createPlates(database: Kysely<unknown>): Plates {
  const db = database.$extendTables<Tables>()

  async function putAway(runId: string): Promise<void> {
    await db.transaction().execute(async (trx) => {
      await trx.deleteFrom('bands').where('run_id', '=', runId).execute()
      await trx.deleteFrom('negatives').where('run_id', '=', runId).execute()
    })
  }

  return {
    createTables: () => createTables(database),
    async addPicture(id, file) {
      await db.insertInto('pictures').values({ id, file }).execute()
    },
    async picture(id) {
      const query = db.selectFrom('pictures').select('file').where('id', '=', id)
      return (await query.executeTakeFirst())?.file ?? null
    },
    async keepNegative(runId, negative) {
      const row = { run_id: runId, ...negative }
      const query = db.insertInto('negatives').values(row)
      await query.onConflict((conflict) => conflict.doNothing()).execute()
    },
    async size(runId) {
      const query = db.selectFrom('negatives').select(['width', 'height'])
      return (await query.where('run_id', '=', runId).executeTakeFirst()) ?? null
    },
    async pixels(runId, from, length) {
      const { pixels } = await db
        .selectFrom('negatives')
        .select(({ fn, val }) =>
          fn<Bytes>('substr', ['pixels', val(from + 1), val(length)]).as('pixels'),
        )
        .where('run_id', '=', runId)
        .executeTakeFirstOrThrow()
      return pixels
    },
    async keepBand(runId, band, pixels) {
      const query = db.insertInto('bands').values({ run_id: runId, band, pixels })
      const added = query.onConflict((conflict) => conflict.doNothing()).returning('band')
      return (await added.execute()).length > 0
    },
    bands: (runId, from) =>
      db
        .selectFrom('bands')
        .select(['band', 'pixels'])
        .where('run_id', '=', runId)
        .where('band', '>=', from)
        .orderBy('band')
        .execute(),
    async keepPrint(runId, image) {
      const query = db.insertInto('prints').values({ run_id: runId, image })
      await query.onConflict((conflict) => conflict.doNothing()).execute()
    },
    async print(runId) {
      const query = db.selectFrom('prints').select('image').where('run_id', '=', runId)
      return (await query.executeTakeFirst())?.image ?? null
    },
    putAway,
    async forget(runId, pictureId) {
      await putAway(runId)
      await db.deleteFrom('prints').where('run_id', '=', runId).execute()
      await db.deleteFrom('pictures').where('id', '=', pictureId).execute()
    },
  }
}

async function createTables(db: Kysely<unknown>): Promise<void> {
  await sql`create table if not exists pictures (id text primary key, file blob not null)`.execute(
    db,
  )
  await sql`create table if not exists negatives (
    run_id text primary key, width integer not null, height integer not null, pixels blob not null)`.execute(
    db,
  )
  await sql`create table if not exists bands (
    run_id text not null, band integer not null, pixels blob not null, primary key (run_id, band))`.execute(
    db,
  )
  await sql`create table if not exists prints (run_id text primary key, image blob not null)`.execute(
    db,
  )
}
