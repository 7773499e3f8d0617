import { sql } from 'kysely'
import { beforeEach, describe, expect, onTestFinished, test } from 'vitest'
import { z } from 'zod'
import { DurablyError } from '../../src/core/error.ts'
import { createDurably, type Durably } from '../../src/durably.ts'
import { defineJob } from '../../src/core/job.ts'
import { backends } from '../backends.ts'

// Whoever has the file can write into it: a row may say anything.

const stepper = defineJob({
  name: 'stepper',
  input: z.unknown(),
  run: async (step) => {
    await step.run('kept', () => 'kept')
    step.log.info('line', { data: 1 })
    if (step.attempt === 1) throw new Error('once more')
    return step.run('last', () => 'done')
  },
})

let durably: Durably<{ stepper: typeof stepper }>
let runId: string

/** A run that failed once its first step was stored, in a database that nobody works on. */
beforeEach(async () => {
  const backend = backends.find(({ name }) => name === 'better-sqlite3')
  const database = await backend?.open()
  if (database === undefined || database.dialect === null) throw new Error('No such backend')
  durably = createDurably({ dialect: database.dialect(), jobs: { stepper }, maxCrashes: 3 })
  onTestFinished(async () => {
    await durably.close()
    await database.close()
  })
  await durably.init()
  const { id } = await durably.jobs.stepper.trigger(null)
  await durably.waitForRun(id).catch(() => {})
  await durably.stop()
  runId = id
})

const stepRows: [corruption: string, set: string][] = [
  ['no JSON', `data = '{'`],
  ['nothing', `data = ''`],
  ['a number', `data = '5'`],
  ['null', `data = 'null'`],
  ['a list', `data = '[]'`],
  ['another object', `data = '{"index": "first"}'`],
  ['an index that is none', `data = '{"index": -1, "duration": 1, "output": 1}'`],
  ['an unknown format', `data = '{"index": 0, "duration": 1, "output": 1, "format": "xml"}'`],
  ['bad rich text', `data = '{"index": 0, "duration": 1, "output": [[9]], "format": "rich"}'`],
  ['an unknown kind', `kind = 'step:dance'`],
  ['no name', `name = null`],
  ['a time that is none', `at = 'yesterday'`],
  ['bytes', `data = x'00ff'`],
]

describe.each(stepRows)('a journal row that holds %s', (_, set) => {
  beforeEach(async () => {
    await change(`durably_journal set ${set} where kind = 'step:complete'`)
  })

  test('fails its run with its name, and no other', async () => {
    await durably.retry(runId)
    durably.start()
    const failure = durably.waitForRun(runId, { timeout: '5s' })
    await expect(failure).rejects.toThrow(new RegExp(`^Cannot read .*run ${runId}`))
    await expectOthersToWork()
  })

  test('is named by whoever reads it', async () => {
    await expectAnswerOrName(() => durably.getSteps(runId))
    await expectAnswerOrName(() => durably.getLogs(runId))
    await expectAnswerOrName(() => readAll(durably.subscribe(runId)))
    expect(await durably.getRun(runId)).toMatchObject({ id: runId, status: 'failed' })
  })
})

const runRows: [corruption: string, set: string, fails: boolean][] = [
  ['a payload that is no JSON', `payload = '{'`, true],
  ['a payload in an unknown format', `payload_format = 'xml'`, true],
  ['a payload that is no rich text', `payload = '[[7]]', payload_format = 'rich'`, true],
  ['a payload of bytes', `payload = x'00ff'`, true],
  ['an output that is no JSON', `output = '{', output_format = 'json'`, false],
  ['an output in an unknown format', `output = '1', output_format = 'xml'`, false],
  ['labels that are no JSON', `labels = '{'`, false],
  ['labels of numbers', `labels = '{"a": 1}'`, false],
  ['labels that are null', `labels = 'null'`, false],
  ['an error that is no JSON', `error = 'oh no'`, false],
  ['an error without a message', `error = '{}'`, false],
  ['progress that is no JSON', `progress = '{'`, false],
  ['progress of another shape', `progress = '[1]'`, false],
  ['waits that are no JSON', `waiting_for = '{'`, false],
  ['a time that is none', `created_at = 'yesterday'`, false],
]

describe.each(runRows)('a run row that holds %s', (_, set, fails) => {
  beforeEach(async () => {
    await change(`durably_runs set ${set}`)
  })

  test(fails ? 'fails, and no other run' : 'does its work, as others do', async () => {
    await durably.retry(runId)
    durably.start()
    await expectOthersToWork()
    // It was first in line for the only slot.
    await durably.stop()
    const [row] = await rowsOf(`select status, error from durably_runs where id = '${runId}'`)
    expect(row?.status).toBe(fails ? 'failed' : 'completed')
    if (fails) expect(row?.error).toContain(`Cannot read the payload of run ${runId}`)
  })

  test('is read, or named by whoever reads it', async () => {
    await expectAnswerOrName(() => durably.getRun(runId))
    await expectAnswerOrName(() => durably.getRuns())
    await expectAnswerOrName(() => readAll(durably.subscribe(runId)))
    await expectAnswerOrName(() => durably.retrigger(runId))
    expect(await durably.getSteps(runId)).toHaveLength(1)
  })

  test('can be deleted', async () => {
    await durably.deleteRun(runId)
    expect(await durably.getRun(runId)).toBeNull()
  })
})

test('a run of an unknown status is read as it is, refused by every act, and stops nobody', async () => {
  await change(`durably_runs set status = 'dreaming'`)
  expect(await durably.getRun(runId)).toMatchObject({ status: 'dreaming' })
  for (const act of [durably.cancel, durably.retry, durably.deleteRun]) {
    await expect(act(runId)).rejects.toThrow(`dreaming run: ${runId}`)
  }
  durably.start()
  await expectOthersToWork()
})

async function change(what: string): Promise<void> {
  await rowsOf(`update ${what}`)
}

async function rowsOf(text: string): Promise<readonly Record<string, unknown>[]> {
  const { rows } = await sql.raw<Record<string, unknown>>(text).execute(durably.db)
  return rows
}

async function expectOthersToWork(): Promise<void> {
  const { id } = await durably.jobs.stepper.trigger('another')
  await expect(durably.waitForRun(id, { timeout: '5s' })).rejects.toThrow('once more')
}

/** Reading either works or fails with an error that says which run cannot be read. */
async function expectAnswerOrName(read: () => Promise<unknown>): Promise<void> {
  try {
    await read()
  } catch (error) {
    expect(error).toBeInstanceOf(DurablyError)
    expect(error).toMatchObject({ code: 'unreadable' })
    expect(String(error)).toContain(runId)
  }
}

async function readAll(stream: ReadableStream): Promise<void> {
  for await (const event of stream) expect(event).toHaveProperty('type')
}
