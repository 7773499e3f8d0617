import { expect, test } from 'vitest'
import type { Encoded } from '../../src/core/codec.ts'
import { pause } from '../../src/core/env.ts'
import type { CommitSource } from '../../src/engine/boarding.ts'
import { REACTIONS } from '../../src/engine/deliveries.ts'
import { createWriter, type Writer } from '../../src/engine/writer.ts'
import { createMemoryStore } from '../../src/store/memory.ts'
import { RejectedWriteError, type Answer, type Batch, type Store } from '../../src/store/store.ts'
import { createVirtualTime, type VirtualTime } from '../../src/testing/virtual-time.ts'
import { commitOf, newRun, startRun, stepDone } from '../conformance/store/scenario.ts'

const MILLION = 1_000_000

test('what is large travels in several transactions, none of which holds the others up', async () => {
  const time = createVirtualTime(0)
  const store = createMemoryStore()
  const sizes: number[] = []
  const writer = createWriter({
    store: {
      ...store,
      write: async (batch, now) => {
        sizes.push(sizeOf(batch))
        return store.write(batch, now)
      },
    },
    env: time.createEnv(),
    leaseMs: 10_000,
    onWritten: () => {},
    onError: (error) => expect.unreachable(String(error)),
  })
  const answers: Answer[] = []
  for (let i = 0; i < 40; i++) {
    const claim = await startRun(store, `run ${i}`)
    const entry = { ...stepDone(2), data: 'x'.repeat(MILLION) }
    const source: CommitSource = {
      run: () => claim.run,
      take: () => commitOf(claim, [entry]),
      answered: (answer) => void answers.push(answer),
      rejected: (error) => expect.unreachable(error.message),
    }
    writer.commit(source)
  }
  const payload = { format: 'json', text: JSON.stringify('x'.repeat(MILLION)) } as const
  const enqueued = Array.from({ length: 40 }, (_, i) =>
    writer.enqueue([newRun(`large ${i}`, { payload })]),
  )
  await time.until(Promise.all(enqueued))
  expect(answers).toEqual(Array.from({ length: 40 }, () => 'committed'))
  expect(sizes).toHaveLength(3)
  expect(Math.max(...sizes)).toBeLessThan(34 * MILLION)
})

function sizeOf({ commits, runs }: Batch): number {
  const entries = commits.flatMap((commit) => commit.entries)
  const chars = [...entries.map(({ data }) => data), ...runs.map(({ payload }) => payload.text)]
  return chars.reduce((sum, text) => sum + text.length, 0)
}

const LEASE_MS = 30_000

const json = (value: unknown): Encoded => ({ format: 'json', text: JSON.stringify(value) })

/** A writer to a database that fails as `fault` says, and what became of that. */
function failing(
  time: VirtualTime,
  store: Store,
  fault: (text: string) => boolean,
  failsAfterMs = 0,
) {
  const env = time.createEnv()
  const attempts: number[] = []
  const writer = createWriter({
    store: {
      ...store,
      write: async (batch, now) => {
        if (!fault(JSON.stringify(batch))) return store.write(batch, now)
        attempts.push(env.elapsed())
        if (failsAfterMs > 0) await pause(env, failsAfterMs)
        throw new Error('canceling statement due to statement timeout')
      },
    },
    env,
    leaseMs: LEASE_MS,
    onWritten: () => {},
    onError: () => {},
  })
  return { writer, attempts, env }
}

/** Runs that each have a step to store; what they were answered, by name. */
async function commitEach(store: Store, writer: Writer, names: readonly string[]) {
  const answers = new Map<string, Answer>()
  for (const name of names) {
    const claim = await startRun(store, name)
    writer.commit({
      run: () => claim.run,
      take: () => commitOf(claim, [{ ...stepDone(2), data: JSON.stringify({ index: 0, name }) }]),
      answered: (answer) => void answers.set(name, answer),
      rejected: (error) => expect.unreachable(error.message),
    })
  }
  return answers
}

test('a commit that fails every time holds nobody up', async () => {
  const time = createVirtualTime(0)
  const store = createMemoryStore()
  const { writer, attempts } = failing(time, store, (text) => text.includes('poison'))
  const names = Array.from({ length: 64 }, (_, i) => (i === 20 ? 'poison' : `healthy ${i}`))
  const answers = await commitEach(store, writer, names)
  const triggered = writer.enqueue([newRun('beside it', { dueAt: 1000 * MILLION })])
  await time.advance(1000)
  expect(answers.size).toBe(63)
  expect(await time.until(triggered)).toMatchObject([{ disposition: 'created' }])
  for (let i = 0; i < 20; i++) {
    const later = await commitEach(store, writer, [`later ${i}`])
    await time.settle()
    expect(later).toEqual(new Map([[`later ${i}`, 'committed']]))
    await time.advance(1000)
  }
  await time.advance(LEASE_MS)
  expect(answers.get('poison')).toBe('lost')
  expect(attempts.length).toBeLessThan(30)
})

test('a trigger that fails every time rejects, and those beside it do not', async () => {
  const time = createVirtualTime(0)
  const store = createMemoryStore()
  const { writer } = failing(time, store, (text) => text.includes('poison'))
  const poison = writer.enqueue([newRun('poison')])
  const others = ['a', 'b', 'c'].map((id) => writer.enqueue([newRun(id)]))
  await expect(time.until(poison)).rejects.toThrow('statement timeout')
  expect(await time.until(Promise.all(others))).toHaveLength(3)
})

test('a commit that takes long to fail is not sent for most of the time', async () => {
  const time = createVirtualTime(0)
  const store = createMemoryStore()
  const { writer, attempts, env } = failing(time, store, (text) => text.includes('poison'), 500)
  const answers = await commitEach(store, writer, ['poison'])
  await time.advance(LEASE_MS - 1000)
  expect(attempts.length).toBeLessThan(16)
  await time.advance(8000)
  expect(answers.get('poison')).toBe('lost')
  expect(env.timers()).toBe(0)
})

test('while the database is away few attempts are made, and soon after it is back all is stored', async () => {
  const time = createVirtualTime(0)
  const store = createMemoryStore()
  let isAway = true
  const { writer, attempts, env } = failing(time, store, () => isAway)
  const names = Array.from({ length: 500 }, (_, i) => `run ${i}`)
  const answers = await commitEach(store, writer, names)
  for (let i = 0; i < 20; i++) {
    await time.advance(1000)
    writer.send([]).catch(() => {})
  }
  expect(attempts.length).toBeLessThan(40)
  isAway = false
  await time.advance(5000)
  expect(new Set(answers.values())).toEqual(new Set(['committed']))
  expect(answers.size).toBe(500)
  expect(env.timers()).toBe(0)
})

test('commits that the database does not take for as long as a lease are given up', async () => {
  const time = createVirtualTime(0)
  const store = createMemoryStore()
  const { writer, env } = failing(time, store, () => true)
  const answers = await commitEach(store, writer, ['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h'])
  await time.advance(LEASE_MS + 10_000)
  expect([...answers.values()]).toEqual(Array.from({ length: 8 }, () => 'lost'))
  expect(env.timers()).toBe(0)
})

test('triggers that fail again and again keep nobody from claiming', async () => {
  const time = createVirtualTime(0)
  const store = createMemoryStore()
  const { writer } = failing(time, store, (text) => text.includes('poison'))
  const claims: string[] = []
  for (let i = 0; i < 40; i++) {
    writer.enqueue([newRun(`poison ${i}`)]).catch(() => {})
    await time.advance(250)
    writer.claim({ workerId: 'worker', leaseMs: LEASE_MS, jobs: ['job'], limit: 1 }).then(
      () => claims.push('claimed'),
      () => claims.push('failed'),
    )
    await time.advance(250)
  }
  expect(claims).toEqual(Array.from({ length: 40 }, () => 'claimed'))
})

test('messages to a run that takes none hold up none to others, and keep their order', async () => {
  const time = createVirtualTime(0)
  const store = createMemoryStore()
  let isPoison = true
  const meant = '"to":{"runId":"poison"}'
  const { writer } = failing(time, store, (text) => isPoison && text.includes(meant))
  await writer.enqueue([newRun('poison'), newRun('healthy')])
  const letter = (id: string, runId: string) =>
    writer.send([{ id, to: { runId }, kind: 'signal', name: 'go', data: json(id) }])
  const late = [letter('first', 'poison'), time.advance(10).then(() => letter('second', 'poison'))]
  for (let i = 0; i < 12; i++) {
    const answers = letter(`${i}`, 'healthy')
    await time.advance(250)
    expect(await answers).toMatchObject([{ done: true }])
  }
  isPoison = false
  late.push(letter('third', 'poison'))
  await time.until(Promise.all(late))
  const { messages } = await store.mailbox('poison')
  expect(messages.map(({ data }) => data?.text)).toEqual(['"first"', '"second"', '"third"'])
})

test('what fails slowly takes no more than half of the time of others', async () => {
  const time = createVirtualTime(0)
  const store = createMemoryStore()
  const { writer, env } = failing(time, store, (text) => text.includes('poison'), 2000)
  await commitEach(store, writer, ['poison'])
  const waits: number[] = []
  for (let i = 0; env.elapsed() < LEASE_MS; i++) {
    const since = env.elapsed()
    writer.enqueue([newRun(`healthy ${i}`)]).then(
      () => waits.push(env.elapsed() - since),
      () => waits.push(Infinity),
    )
    await time.advance(100)
  }
  await time.advance(5000)
  expect(Math.max(...waits)).toBeLessThan(5000)
  expect(waits.filter((ms) => ms === 0).length).toBeGreaterThan(waits.length / 2)
})

test('who is sent a second time is not told how the first time failed', async () => {
  const time = createVirtualTime(0)
  const store = createMemoryStore()
  const { writer } = failing(time, store, () => true, 4000)
  const triggered = writer.enqueue([newRun('sent twice')]).catch((error: unknown) => error)
  await time.advance(6000)
  const told = await triggered
  expect(told).toMatchObject({ message: expect.stringContaining('may be stored') as string })
  expect((told as Error).cause).toMatchObject({
    message: expect.stringContaining('timeout') as string,
  })
})

test('a small trigger does not wait as long as the large batch beside it', async () => {
  const time = createVirtualTime(0)
  const store = createMemoryStore()
  const { writer } = failing(time, store, () => true, 60_000)
  const batch = Array.from({ length: 20_000 }, (_, i) => newRun(`large ${i}`))
  writer.enqueue(batch).catch(() => {})
  await time.advance(12_000)
  let isTold = false
  writer.enqueue([newRun('small')]).catch(() => (isTold = true))
  await time.advance(6000)
  expect(isTold).toBe(true)
})

test('a process that did nothing for some time hears first what the database has answered', async () => {
  const time = createVirtualTime(0)
  const store = createMemoryStore()
  const env = time.createEnv()
  const writer = createWriter({
    store: {
      ...store,
      async write(batch, now) {
        const written = await store.write(batch, now)
        await pause(env, 1)
        return written
      },
    },
    env,
    leaseMs: LEASE_MS,
    onWritten: () => {},
    onError: (error) => expect.unreachable(String(error)),
  })
  const triggered = writer.enqueue([newRun('run')])
  const behind = writer.enqueue([newRun('behind it')])
  await time.settle()
  time.block(7000)
  await time.advance(10)
  expect(await triggered).toMatchObject([{ disposition: 'created' }])
  expect(await behind).toMatchObject([{ disposition: 'created' }])
})

test('of messages to one run that are refused together only the offender fails', async () => {
  const time = createVirtualTime(0)
  const store = createMemoryStore()
  const writer = createWriter({
    store: {
      ...store,
      async write(batch, now) {
        if (JSON.stringify(batch).includes('poison')) throw new RejectedWriteError('not this one')
        return store.write(batch, now)
      },
    },
    env: time.createEnv(),
    leaseMs: LEASE_MS,
    onWritten: () => {},
    onError: (error) => expect.unreachable(String(error)),
  })
  await writer.enqueue([newRun('run')])
  const letters = ['first', 'poison', 'third'].map((id) =>
    writer.send([{ id, to: { runId: 'run' }, kind: 'signal', name: 'go', data: json(id) }]),
  )
  const answers = await time.until(Promise.allSettled(letters))
  expect(answers.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'fulfilled'])
  const { messages } = await store.mailbox('run')
  expect(messages.map(({ data }) => data?.text)).toEqual(['"first"', '"third"'])
})

test('a commit that was not answered twice is sent again soon', async () => {
  const time = createVirtualTime(0)
  const store = createMemoryStore()
  let silences = 0
  const writer = createWriter({
    store: {
      ...store,
      write: (batch, now) =>
        batch.commits.length > 0 && ++silences < 3
          ? new Promise(() => {})
          : store.write(batch, now),
    },
    env: time.createEnv(),
    leaseMs: 4 * LEASE_MS,
    onWritten: () => {},
    onError: () => {},
  })
  const answers = await commitEach(store, writer, ['run'])
  await time.advance(2 * 16_000 + 15_000 + 1000)
  expect(answers.get('run')).toBe('committed')
})

/** A run of as many steps as asked, which take no time; how many turns of the event loop they took. */
async function turnsOf(steps: number, writeMs: number): Promise<number> {
  const time = createVirtualTime(0)
  const store = createMemoryStore()
  const env = time.createEnv()
  let turns = 0
  let tookMs = 0
  const writer = createWriter({
    store: {
      ...store,
      write: (batch, now) => {
        tookMs += writeMs
        return store.write(batch, now)
      },
    },
    env: {
      ...env,
      elapsed: () => env.elapsed() + tookMs,
      turn(fn) {
        turns++
        env.turn(fn)
      },
    },
    leaseMs: LEASE_MS,
    onWritten: () => {},
    onError: (error) => expect.unreachable(String(error)),
  })
  const claim = await startRun(store, 'run')
  const done = Promise.withResolvers<void>()
  let seq = 2
  const source: CommitSource = {
    run: () => claim.run,
    take: () => commitOf(claim, [stepDone(seq)]),
    answered(answer) {
      expect(answer).toBe('committed')
      seq++
      if (seq < 2 + steps) void comeBack()
      else done.resolve()
    },
    rejected: (error) => expect.unreachable(error.message),
  }
  /** As late as code may that goes on in step on replay, too. */
  async function comeBack(): Promise<void> {
    for (let i = 0; i < REACTIONS; i++) await Promise.resolve()
    writer.commit(source)
  }
  writer.commit(source)
  await time.until(done.promise)
  return turns
}

test('a run that is back at once is written without a turn, for as long as others can wait', async () => {
  expect(await turnsOf(16, 0)).toBe(1)
  expect(await turnsOf(160, 0)).toBe(10)
  expect(await turnsOf(16, 1)).toBe(8)
  expect(await turnsOf(16, 10)).toBe(16)
})
