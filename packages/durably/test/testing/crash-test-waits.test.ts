import { PGlite } from '@electric-sql/pglite'
import BetterSqlite from 'better-sqlite3'
import { PGliteDialect } from 'kysely'
import { describe, expect, test } from 'vitest'
import { z } from 'zod'
import { defineJob, type StepContext } from '../../src/index.ts'
import { sqliteDialect } from '../../src/sqlite.ts'
import { crashTest, type CrashTestOptions } from '../../src/testing.ts'

function job(run: (step: StepContext) => Promise<unknown>, maxDuration?: '10m') {
  return defineJob({ name: 'approval', input: z.null(), maxDuration, run })
}

/** Sends each signal that is waited for. */
const send: CrashTestOptions['answer'] = async (run, durably) => {
  for (const { kind, name } of run.waitingFor ?? []) {
    if (kind === 'signal') await durably.signal(run.id, name, 'yes')
  }
}

test.each([
  ['memory', () => undefined],
  ['SQLite', () => sqliteDialect({ database: new BetterSqlite(':memory:') })],
])(
  'a job that waits several times, for whatever, ends as without a crash, on %s',
  async (_name, dialect) => {
    const approval = job(async (step) => {
      const first = await step.waitForSignal('first')
      await step.run('remind', () => {})
      await step.sleep('cool down', '1h')
      return [first, await step.waitForSignal('second', { timeout: '1h' })]
    })
    const report = await crashTest(approval, null, { answer: send, dialect: dialect() })
    expect(report.errors).toEqual([])
    expect(report.places[0]).toMatchObject({ status: 'completed', output: ['yes', 'yes'] })
  },
)

test('a run is taken over where the database has a clock of its own', async () => {
  const nap = job(async (step) => {
    await step.run('lie down', () => {})
    await step.sleep('nap', '1h')
  })
  const dialect = new PGliteDialect({ pglite: new PGlite() })
  expect((await crashTest(nap, null, { dialect })).errors).toEqual([])
})

describe('time', () => {
  test('does not pass for an answer', async () => {
    const approval = job(async (step) => {
      await step.waitForSignal('first')
      await step.waitForSignal('second')
    }, '10m')
    const { errors, places } = await crashTest(approval, null, { answer: send })
    expect(errors).toEqual([])
    expect(places[0]).toMatchObject({ status: 'completed' })
  })

  test('passes by half a minute until a crashed run is taken over', async () => {
    const brief = job(async (step) => {
      await step.run('a', () => {})
      await step.run('b', () => {})
    }, '10m')
    expect((await crashTest(brief, null)).errors).toEqual([])
  })
})
