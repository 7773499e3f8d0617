import pg from 'pg'
import { expect, test } from 'vitest'

test('the PostgreSQL of this run answers', async () => {
  const client = new pg.Client({ connectionString: process.env.DURABLY_TEST_POSTGRES_URL })
  await client.connect()
  try {
    const { rows } = await client.query('select 1 as one')
    expect(rows).toEqual([{ one: 1 }])
  } finally {
    await client.end()
  }
})
