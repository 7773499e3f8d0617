import { PGlite } from '@electric-sql/pglite'
import BetterSqlite from 'better-sqlite3'
import { PGliteDialect, sql } from 'kysely'
import { describe, expect, test } from 'vitest'
import { z } from 'zod'
import {
  ConflictError,
  defineJob,
  NotFoundError,
  ValidationError,
  type Durably,
  type StepContext,
} from '../../src/index.ts'
import { sqliteDialect } from '../../src/sqlite.ts'
import { createTestDurably } from '../../src/testing.ts'

const called: string[] = []

const greet = defineJob({
  name: 'greet',
  input: z.object({ name: z.string() }),
  output: z.object({ text: z.string() }),
  run: async (step, { name }) => {
    const greeting = await step.run('load greeting', () => {
      called.push('load greeting')
      return 'Hello'
    })
    await step.run('send', (_signal, info) => void called.push(info.idempotencyKey))
    return { text: `${greeting}, ${name}` }
  },
})

const databases = {
  memory: () => undefined,
  SQLite: () => sqliteDialect({ database: new BetterSqlite(':memory:') }),
  PGlite: () => new PGliteDialect({ pglite: new PGlite() }),
}

describe.each(Object.entries(databases))('on %s', (_name, dialect) => {
  test('runs a job to its end, without any time passing', async () => {
    await using t = createTestDurably({ jobs: { greet }, dialect: dialect() })
    const run = await t.run(greet, { name: 'Ada' })
    expect(run).toMatchObject({ status: 'completed', output: { text: 'Hello, Ada' } })
    expect(run.output?.text).toBe('Hello, Ada')
    expect(await t.steps(run.id)).toMatchObject([
      { name: 'load greeting', output: 'Hello', attempts: 1 },
      { name: 'send', status: 'completed' },
    ])
    expect(t.now()).toEqual(new Date('2030-01-01T00:00:00Z'))
  })

  test('hours pass at once, and what is due in them happens', async () => {
    await using t = createTestDurably({ jobs: { greet }, dialect: dialect() })
    const { id } = await t.jobs.greet.trigger({ name: 'Ada' }, { delay: '2h' })
    await t.advance('1h')
    expect(await t.durably.getRun(id)).toMatchObject({ status: 'pending' })
    await t.advance('2h')
    expect(await t.durably.getRun(id)).toMatchObject({
      status: 'completed',
      startedAt: expect.stringMatching(/^2030-01-01T02:00:00/) as string,
    })
    expect(t.now()).toEqual(new Date('2030-01-01T03:00:00Z'))
  })

  test('close ends a job that goes from step to step for ever', async ({ onTestFinished }) => {
    let isFailed = false
    onTestFinished(() => {
      isFailed = true
    })
    const begun = Promise.withResolvers<void>()
    const loop = defineJob({
      name: 'loop',
      input: z.null(),
      run: async (step) => {
        for (let i = 0; !isFailed; i++)
          await step.run(`step ${i}`, () => i === 100 && begun.resolve())
      },
    })
    const t = createTestDurably({ jobs: { loop }, dialect: dialect() })
    await t.jobs.loop.trigger(null)
    await begun.promise
    await t.close()
    expect(isFailed).toBe(false)
  }, 20_000)
})

test('three days pass in no time', async () => {
  const t = createTestDurably({ jobs: { greet }, startAt: new Date('2031-05-01T12:00:00Z') })
  const { id } = await t.jobs.greet.trigger({ name: 'Ada' }, { delay: '3d' })
  await t.advance('3d')
  await t.advance('1s')
  expect(await t.durably.getRun(id)).toMatchObject({ status: 'completed' })
  expect(t.now()).toEqual(new Date('2031-05-04T12:00:01Z'))
})

describe('a step', () => {
  test('returns what the test says, until it is restored', async () => {
    const t = createTestDurably({ jobs: { greet } })
    called.length = 0
    t.step(greet, 'load greeting').returns('Bonjour')
    expect(await t.run(greet, { name: 'Ada' })).toMatchObject({ output: { text: 'Bonjour, Ada' } })
    expect(called).not.toContain('load greeting')
    t.step(greet, 'load greeting').restore()
    expect(await t.run(greet, { name: 'Ada' })).toMatchObject({ output: { text: 'Hello, Ada' } })
  })

  test('fails on its nth attempt, counted over retries of the run', async () => {
    const t = createTestDurably({ jobs: { greet } })
    t.step(greet, 'send').fails('smtp is down', { attempt: 1 })
    t.step(greet, 'send').fails(new TypeError('bad address'), { attempt: 2 })
    const run = await t.run(greet, { name: 'Ada' })
    expect(run).toMatchObject({ status: 'failed', error: 'smtp is down' })
    await t.durably.retry(run.id)
    await t.advance(0)
    expect(await t.durably.getRun(run.id)).toMatchObject({ errorDetail: { name: 'TypeError' } })
    await t.durably.retry(run.id)
    await t.advance(0)
    expect(await t.durably.getRun(run.id)).toMatchObject({ status: 'completed' })
    expect(await t.steps(run.id)).toMatchObject([{ attempts: 1 }, { name: 'send', attempts: 3 }])
  })

  test('fails whenever it is executed', async () => {
    const t = createTestDurably({ jobs: { greet } })
    t.step(greet, 'send').fails('smtp is down')
    for (const name of ['Ada', 'Grace']) {
      expect(await t.run(greet, { name })).toMatchObject({ error: 'smtp is down' })
    }
  })

  test('does what the test said last', async () => {
    const t = createTestDurably({ jobs: { greet } })
    const send = t.step(greet, 'send')
    send.fails('smtp is down')
    send.returns('sent')
    expect(await t.run(greet, { name: 'Ada' })).toMatchObject({ status: 'completed' })
    send.fails('smtp is down again')
    expect(await t.run(greet, { name: 'Ada' })).toMatchObject({ error: 'smtp is down again' })
  })

  test('may do real work meanwhile: time waits for it, and for code between steps', async () => {
    const slow = defineJob({
      name: 'slow',
      input: z.null(),
      run: async (step) => {
        await realPause(30)
        await step.run('slow', () => realPause(30))
        return 'done'
      },
    })
    const t = createTestDurably({ jobs: { slow } })
    await t.jobs.slow.trigger(null)
    await t.advance('1h')
    const [run] = await t.jobs.slow.getRuns()
    expect(run).toMatchObject({ output: 'done', completedAt: '2030-01-01T00:00:00.000Z' })
  })

  test('may wait for its streams to be stored: no time has to pass for that', async () => {
    const streams = defineJob({
      name: 'streams',
      input: z.null(),
      run: (step) =>
        step.run('recite', async (_signal, { stream }) => {
          const writer = stream('words').getWriter()
          await writer.write('to')
          await writer.close()
        }),
    })
    const t = createTestDurably({ jobs: { streams } })
    const run = await t.run(streams, null)
    expect(run).toMatchObject({ status: 'completed', completedAt: '2030-01-01T00:00:00.000Z' })
  })

  test('that took too long and is done now is no reason for anything', async () => {
    const gate = Promise.withResolvers<void>()
    const slow = defineJob({
      name: 'slow',
      input: z.null(),
      run: (step) => step.run('slow', () => gate.promise),
    })
    const t = createTestDurably({ jobs: { slow, greet } })
    await expect(t.run(slow, null)).rejects.toThrow('still at work after a second of real time')
    gate.resolve()
    await t.advance(0)
    await t.durably.pauseJob('greet')
    await expect(t.run(greet, { name: 'Ada' })).rejects.toThrow('or it may not start yet')
  })

  test('that never settles holds up neither time nor the test', async () => {
    const hang = defineJob({
      name: 'hang',
      input: z.null(),
      run: (step) => step.run('hang', () => new Promise<void>(() => {})),
    })
    const t = createTestDurably({ jobs: { hang } })
    const refused = t.run(hang, null)
    await expect(refused).rejects.toThrow(ConflictError)
    await expect(refused).rejects.toThrow('still at work after a second of real time')
    const [run] = await t.jobs.hang.getRuns()
    await t.durably.cancel(run?.id ?? '')
    await t.advance('1s')
    expect(await t.jobs.hang.getRuns()).toMatchObject([{ status: 'cancelled' }])
    await t.close()
  })
})

describe('close, where a step was to do something else', () => {
  const branches = defineJob({
    name: 'branches',
    input: z.object({ isGift: z.boolean() }),
    run: async (step, { isGift }) => {
      if (isGift) await step.run('wrap', () => {})
      await step.run('pack', () => {})
      await sendBy(step, isGift ? 'express' : 'mail')
    },
  })
  const sendBy = (step: StepContext, way: string): Promise<void> =>
    step.run(`send by ${way}`, () => {})
  const create = () => createTestDurably({ jobs: { branches, greet } })

  test('says that there is no such step, once, and is done', async () => {
    const t = create()
    t.step(branches, 'pakc').returns(null)
    expect(await t.run(branches, { isGift: false })).toMatchObject({ status: 'completed' })
    await expect(t.close()).rejects.toThrow(
      `t.step: job "branches" called no step 'pakc'; its steps were 'pack', 'send by mail'.`,
    )
    await expect(t.close()).resolves.toBeUndefined()
    await expect(t.jobs.greet.trigger({ name: 'Ada' })).rejects.toThrow('closed')
  })

  test('says nothing where it was called in some run, or stands in a branch that was not taken', async () => {
    await using t = create()
    t.step(branches, 'wrap').returns(null)
    t.step(branches, 'send by express').fails('no plane', { attempt: 2 })
    expect(await t.run(branches, { isGift: true })).toMatchObject({ status: 'completed' })
    await using other = create()
    other.step(branches, 'wrap').fails('no paper')
    expect(await other.run(branches, { isGift: false })).toMatchObject({ status: 'completed' })
  })

  test('says nothing where that was taken back, or no run came to its end', async () => {
    await using t = create()
    t.step(branches, 'send by express').fails('no plane')
    await t.run(branches, { isGift: false })
    t.step(branches, 'send by express').restore()
    t.step(greet, 'sned').returns(null)
    t.step(greet, 'send').fails('smtp is down')
    expect(await t.run(greet, { name: 'Ada' })).toMatchObject({ status: 'failed' })
  })
})

test('says what it was given that it cannot use', async () => {
  const t = createTestDurably({ jobs: { greet } })
  await expect(t.run(greet, { name: 1 as unknown as string })).rejects.toThrow(ValidationError)
  const other = { ...greet, name: 'other' } as unknown as typeof greet
  await expect(t.run(other, { name: 'Ada' })).rejects.toThrow(NotFoundError)
  expect(() => t.step(greet, 'send').fails('no', { attempt: 0 })).toThrow(ValidationError)
  await expect(async () => t.advance('soon' as '1s')).rejects.toThrow(ValidationError)
  for (const startAt of [new Date('soon'), '2030-01-01' as never]) {
    const begin = () => createTestDurably({ jobs: { greet }, startAt })
    expect(begin).toThrow(ValidationError)
    expect(begin).toThrow('startAt must be a valid Date')
  }
})

test('has the database of its dialect, and none in memory', async () => {
  const dialect = sqliteDialect({ database: new BetterSqlite(':memory:') })
  const t = createTestDurably({ jobs: { greet }, dialect })
  const durably: Durably<{ greet: typeof greet }> = t.durably
  await t.run(greet, { name: 'Ada' })
  const { rows } = await sql`select status from durably_runs`.execute(durably.db)
  expect(rows).toEqual([{ status: 'completed' }])
  await t.close()
  const inMemory = createTestDurably({ jobs: { greet } })
  expect(() => inMemory.durably.db).toThrow('give createTestDurably a dialect')
})

test('labels are checked and typed as on the instance', async () => {
  const labels = z.object({ tenant: z.string() })
  const t = createTestDurably({ jobs: { greet }, labels })
  const run = await t.run(greet, { name: 'Ada' }, { labels: { tenant: 'a' } })
  expect(run.labels.tenant.length).toBe(1)
  // @ts-expect-error -- each run has a tenant
  await expect(t.run(greet, { name: 'Ada' })).rejects.toThrow('Invalid labels')
})

test('a job may be registered later', async () => {
  const t = createTestDurably({ jobs: {} })
  const { greet: handle } = t.durably.register({ greet })
  expect(t.durably.register({ greet }).greet).toBe(handle)
  const { id } = await handle.trigger({ name: 'Ada' })
  await t.advance(0)
  expect(await handle.getRun(id)).toMatchObject({ output: { text: 'Hello, Ada' } })
})

function realPause(ms: number): Promise<void> {
  return new Promise((resolve) => {
    setTimeout(resolve, ms)
  })
}
