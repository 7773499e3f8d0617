import { expect, onTestFinished, test } from 'vitest'
import { createObservers } from '../../src/client/observers.ts'
import type { Observed } from '../../src/client/observed.ts'
import type { Client } from '../../src/client/client.ts'
import { DurablyError } from '../../src/core/error.ts'
import type { DurablyEvent, RunChange } from '../../src/core/event.ts'
import type { Run } from '../../src/core/run.ts'
import type { Log } from '../../src/core/step.ts'
import { createVirtualTime } from '../../src/testing/virtual-time.ts'

const seen = { isVisible: () => true, onChange: () => () => {} }
const at = '2030-01-01T00:00:00.000Z'

function runOf(id: string, change: Partial<Run> = {}): Run {
  const made = { id, jobName: 'any', createdAt: at, updatedAt: at, labels: {}, payload: null }
  const ended = { status: 'completed', attempt: 1, output: null, error: null, progress: null }
  return { ...made, ...ended, waitingFor: null, ...change } as unknown as Run
}

/** A page over a client of which only these parts are used; no run has anything to tell unless it is said. */
function open(parts: Partial<Client>) {
  const time = createVirtualTime(Date.parse(at))
  const env = time.createEnv()
  let changes: ReadableStreamDefaultController<RunChange> | null = null
  const client = {
    subscribe: () => new ReadableStream({ start: (controller) => controller.close() }),
    subscribeRuns: () => new ReadableStream({ start: (controller) => void (changes = controller) }),
    ...parts,
  } as Client
  return {
    observers: createObservers(client, env, seen),
    advance: time.advance,
    pause: (ms: number) => new Promise<void>((resolve) => env.after(ms, resolve)),
    hint: (runId: string | null) => changes?.enqueue({ type: 'run:changed', runId }),
  }
}

function watch<T>(observed: Observed<T>) {
  onTestFinished(observed.subscribe(() => {}))
  return () => observed.get()
}

test('hints of anything make runs that have ended read seldom, hints of one of them at once', async () => {
  const reads: string[] = []
  const { observers, advance, hint } = open({
    async getRun(id: string) {
      reads.push(id)
      return runOf(id) as never
    },
  })
  for (let i = 0; i < 50; i++) watch(observers.run(`run ${i}`))
  await advance(1000)
  reads.splice(0)
  for (let i = 0; i < 200; i++) {
    hint(null)
    await advance(50)
  }
  expect(reads.length).toBeGreaterThanOrEqual(100)
  expect(reads.length).toBeLessThanOrEqual(150)
  await advance(10_000)
  reads.splice(0)
  hint(null)
  await advance(50)
  hint('run 7')
  await advance(50)
  hint('run 7')
  await advance(500)
  expect(reads.filter((id) => id === 'run 7')).toHaveLength(3)
  expect(reads).toHaveLength(52)
})

test('an answer that was asked for before another does not undo it', async () => {
  const answers: PromiseWithResolvers<Run>[] = []
  let isSlow = false
  const { observers, advance, hint } = open({
    async getRun(id: string) {
      if (!isSlow) return runOf(id, { status: 'failed' }) as never
      const answer = Promise.withResolvers<Run>()
      answers.push(answer)
      return answer.promise as never
    },
    signal: async () => {},
  })
  const shown = watch(observers.run('one'))
  await advance(1000)
  isSlow = true
  hint('one')
  await advance(1000)
  await observers.actions().signal('one', 'again')
  expect(answers).toHaveLength(2)
  answers[1]?.resolve(runOf('one', { status: 'pending', attempt: 2 }))
  await advance(100)
  expect(shown()).toMatchObject({ status: 'pending' })
  answers[0]?.resolve(runOf('one', { status: 'failed' }))
  await advance(100)
  expect(shown()).toMatchObject({ status: 'pending' })
})

test('a list that is answered more slowly than hints come is shown, and asked for once at a time', async () => {
  let asking = 0
  let most = 0
  let status: Run['status'] = 'running'
  const { observers, advance, hint, pause } = open({
    async getRuns() {
      most = Math.max(most, ++asking)
      const runs = [runOf('one', { status })]
      await pause(700)
      asking--
      return runs as never
    },
  })
  const shown = watch(observers.runs())
  for (let i = 0; i < 100; i++) {
    hint(null)
    await advance(50)
  }
  expect(shown()).toMatchObject({ isLoading: false, runs: [{ status: 'running' }] })
  expect(most).toBe(1)
  // What the last hint was of is shown as well.
  status = 'completed'
  hint(null)
  await advance(2000)
  expect(shown()).toMatchObject({ runs: [{ status: 'completed' }] })
})

test('a list that is never answered is asked for again; what comes after all, too late, does not undo it', async () => {
  const first = Promise.withResolvers<Run[]>()
  let reads = 0
  const { observers, advance } = open({
    getRuns: (() => (reads++ === 0 ? first.promise : Promise.resolve([runOf('new')]))) as never,
  })
  const shown = watch(observers.runs())
  await advance(6000)
  expect(shown()).toMatchObject({ isLoading: false, runs: [{ id: 'new' }] })
  first.resolve([runOf('old')])
  await advance(100)
  expect(shown()).toMatchObject({ runs: [{ id: 'new' }] })
})

test('an answer of the page that was turned away from is not shown on the next one', async () => {
  const late = Promise.withResolvers<Run[]>()
  let isLate = false
  const { observers, advance } = open({
    getRuns: (({ cursor }: { cursor?: string }) => {
      if (cursor !== undefined) return new Promise(() => {})
      return isLate ? late.promise : Promise.resolve([runOf('one'), runOf('two')])
    }) as never,
  })
  const list = observers.runs({ pageSize: 1 })
  const shown = watch(list)
  await advance(100)
  isLate = true
  list.refresh()
  list.nextPage()
  late.resolve([runOf('three'), runOf('one')])
  await advance(100)
  expect(shown()).toMatchObject({ runs: [{ id: 'one' }], isLoading: true })
})

/** A log where every fifth position is a line, followed to its end by a run that goes on. */
function openLog(positions: number) {
  const lines: Log[] = []
  for (let sequence = 5; sequence <= positions; sequence += 5) {
    const message = `line ${sequence}`
    lines.push({ sequence, stepName: null, level: 'info', message, data: null, timestamp: at })
  }
  const log = { isAway: false, asked: [] as (number | undefined)[] }
  const page = open({
    getRun: async (id: string) => runOf(id, { status: 'waiting' }) as never,
    subscribe: () =>
      new ReadableStream({
        start(controller) {
          for (const line of lines) {
            controller.enqueue({ type: 'log:write', ...line } as unknown as DurablyEvent)
          }
        },
      }),
    async getLogs(_, { after = 0, limit } = {}) {
      if (log.isAway) throw new DurablyError('unavailable', 'away')
      log.asked.push(limit)
      return lines.filter(({ sequence }) => sequence > after).slice(0, limit)
    },
  })
  return { ...page, log, last: (count: number) => lines.slice(-count) }
}

test('who wants more of a long log is not given all of it', async () => {
  const { observers, advance, log, last } = openLog(500_000)
  watch(observers.run('one'))
  await advance(1000)
  const shown = watch(observers.run('one', { maxLogs: 1200 }))
  await advance(1000)
  expect(shown().logs).toEqual(last(1200))
  expect(log.asked).toEqual([200, 400, 800])
  const more = watch(observers.run('one', { maxLogs: 1500 }))
  watch(observers.run('one', { maxLogs: 1600 }))
  await advance(1000)
  expect(more().logs).toEqual(last(1600))
})

test('more than there is of a log is all of it', async () => {
  const { observers, advance, last } = openLog(6000)
  watch(observers.run('one'))
  await advance(1000)
  const shown = watch(observers.run('one', { maxLogs: Number.POSITIVE_INFINITY }))
  await advance(1000)
  expect(shown().logs).toEqual(last(1200))
})

test('what was left out of a log is read once the server is back', async () => {
  const { observers, advance, log, last } = openLog(10_000)
  watch(observers.run('one'))
  await advance(1000)
  log.isAway = true
  const shown = watch(observers.run('one', { maxLogs: 1500 }))
  await advance(10_000)
  expect(shown().logs).toEqual(last(1000))
  log.isAway = false
  await advance(2000)
  expect(shown().logs).toEqual(last(1500))
})
