import { expect, onTestFinished, test } from 'vitest'
import { z } from 'zod'
import type { RunChange } from '../../src/core/event.ts'
import type { Instance } from '../../src/core/instance.ts'
import { defineJob } from '../../src/core/job.ts'
import type { Wakeups } from '../../src/core/wakeups.ts'
import { assemble } from '../../src/durably.ts'
import { createWire as createDatabaseWire, hold } from '../conformance/api/wire.ts'
import type { Batch } from '../../src/store/store.ts'
import { createMemoryStore } from '../../src/store/memory.ts'
import { createVirtualTime } from '../../src/testing/virtual-time.ts'

/** A wire between processes that carries what it is told to carry. */
function createWire() {
  const listeners = new Set<(message: string) => void>()
  const sent: string[] = []
  let isBroken = false
  let stalled: Promise<void> | null = null
  let cannotHangUp = false
  const wakeups: Wakeups = {
    listen: async (onWake) => {
      if (isBroken) throw new Error('no line')
      await stalled
      listeners.add(onWake)
      return async () => {
        await stalled
        if (cannotHangUp) throw new Error('the connection is gone')
        listeners.delete(onWake)
      }
    },
    notify: async (message) => {
      if (isBroken) throw new Error('line is dead')
      sent.push(message)
      await stalled
      for (const listener of listeners) listener(message)
    },
  }
  return {
    wakeups,
    sent,
    listeners,
    break: () => (isBroken = true),
    /** Until the function is called that it returns. */
    stall() {
      const { promise, resolve } = Promise.withResolvers<void>()
      stalled = promise
      return () => {
        stalled = null
        resolve()
      }
    },
    /** What was stalled stays so. */
    heal: () => (stalled = null),
    refuseToHangUp: () => (cannotHangUp = true),
    say: (message: string) => listeners.forEach((listener) => listener(message)),
  }
}

const POLL_MS = 60_000

/** A worker and a client on one store, with one wire, who would else look once a minute. */
async function setUp() {
  const time = createVirtualTime(1_800_000_000_000)
  const { intercept, store } = createDatabaseWire(createMemoryStore(), time.track)
  const wire = createWire()
  const errors: string[] = []
  const aborted = Promise.withResolvers<unknown>()
  const signalled = Promise.withResolvers<void>()
  const create = () => {
    const env = time.createEnv()
    const durably = assemble(store, env, {
      wakeups: wire.wakeups,
      pollingInterval: POLL_MS,
      heartbeatInterval: POLL_MS,
      staleThreshold: 2 * POLL_MS,
    })
    durably.on('worker:error', ({ context }) => void errors.push(context))
    onTestFinished(() => time.until(durably.stop({ timeout: 0 }).then(durably.close)))
    return { ...durably.register({ job }), durably, env }
  }
  const job = defineJob({
    name: 'job',
    input: z.string(),
    run: (step, what) => {
      if (what !== 'hang') return what
      step.abortSignal.addEventListener('abort', () => aborted.resolve(step.abortSignal.reason))
      const signal = step.waitForSignal('go').then(() => signalled.resolve())
      const forever = new Promise<void>(() => {})
      return Promise.all([signal, step.run('long', () => forever)]).then(() => what)
    },
  })
  const worker = create()
  await worker.durably.init()
  await time.advance(10)
  const told = { aborted: aborted.promise, signalled: signalled.promise }
  return { time, wire, intercept, errors, ...told, worker, client: create() }
}

/** What the instance says of runs that change, until it is closed. */
function follow(durably: Pick<Instance, 'subscribeRuns'>): RunChange[] {
  const changes: RunChange[] = []
  const read = async (): Promise<void> => {
    for await (const change of durably.subscribeRuns()) changes.push(change)
  }
  // Closing the instance ends it with an error.
  read().catch(() => {})
  return changes
}

test('a trigger of another process is heard at once, and so is its result', async () => {
  const { time, client } = await setUp()
  const before = time.now()
  const { output } = await time.until(client.job.triggerAndWait('quick'))
  expect(output).toBe('quick')
  expect(time.now() - before).toBeLessThanOrEqual(50)
})

test('a cancel of another process is heard within 50 ms', async () => {
  const { time, client, aborted } = await setUp()
  const { id } = await client.job.trigger('hang')
  await time.advance(50)
  const before = time.now()
  await client.durably.cancel(id)
  expect(await time.until(aborted)).toMatchObject({ name: 'CancelledError' })
  expect(time.now() - before).toBeLessThanOrEqual(50)
})

test('a cancel is heard though the worker was just asking who holds which run', async () => {
  const { time, wire, intercept, client, aborted } = await setUp()
  const { id } = await client.job.trigger('hang')
  await time.advance(50)
  const asking = hold((operation) => operation === 'leases', 'after')
  intercept(asking.intercept)
  wire.say('anything')
  await time.until(asking.reached)
  await client.durably.cancel(id)
  await time.advance(50)
  const before = time.now()
  asking.open()
  expect(await time.until(aborted)).toMatchObject({ name: 'CancelledError' })
  expect(time.now() - before).toBeLessThanOrEqual(50)
})

test('a signal is heard that comes while the claim of its run is answered', async () => {
  const { time, intercept, client, signalled } = await setUp()
  const isClaim = (request: unknown): boolean => (request as Batch).claim !== null
  const claiming = hold((operation, request) => operation === 'write' && isClaim(request), 'after')
  await time.advance(100)
  intercept(claiming.intercept)
  const { id } = await client.job.trigger('hang')
  await time.until(claiming.reached)
  await time.advance(100)
  await client.durably.signal(id, 'go')
  await time.advance(100)
  const before = time.now()
  claiming.open()
  await time.until(signalled)
  expect(time.now() - before).toBeLessThanOrEqual(50)
})

test('the steps of a run are followed without polling', async () => {
  const { time, client } = await setUp()
  const before = time.now()
  const { id } = await client.job.trigger('quick')
  const reader = client.durably.subscribe(id).getReader()
  const types: string[] = []
  const toTheEnd = async (): Promise<void> => {
    for (let next = await reader.read(); !next.done; next = await reader.read()) {
      types.push(next.value.type)
    }
  }
  await time.until(toTheEnd())
  expect(types).toEqual(['run:trigger', 'run:start', 'run:complete'])
  expect(time.now() - before).toBeLessThanOrEqual(100)
})

test('many changes make few messages, none of them long', async () => {
  const { time, wire, client } = await setUp()
  await client.job.batchTrigger(Array.from({ length: 500 }, (_, i) => `run ${i}`))
  await time.advance(100)
  expect(wire.sent.length).toBeLessThan(30)
  expect(Math.max(...wire.sent.map(({ length }) => length))).toBeLessThan(7000)
})

test('a process does not wake itself', async () => {
  const { time, wire, worker } = await setUp()
  const changes = follow(worker.durably)
  await worker.job.triggerAndWait('x')
  await time.advance(1000)
  expect(wire.sent).not.toEqual([])
  const types = changes.map(({ type }) => type)
  expect(types).toContain('run:complete')
  expect(types).not.toContain('run:changed')
})

test('what changed last is told before an instance closes', async () => {
  const { time, wire, client } = await setUp()
  const before = wire.sent.length
  const { id } = await client.job.trigger('quick')
  await time.until(client.durably.close())
  expect(JSON.parse(wire.sent[before] ?? '')).toMatchObject({ runs: [id] })
})

test('and so is what changes while it closes', async () => {
  const { time, wire, client } = await setUp()
  const before = wire.sent.length
  const first = await client.job.trigger('one')
  const letGo = wire.stall()
  const closed = client.durably.close()
  const second = await client.job.trigger('two')
  letGo()
  await time.until(closed)
  const messages = wire.sent.slice(before).map((text) => JSON.parse(text) as Message)
  const ofClient = messages.filter(({ from }) => from === messages[0]?.from)
  expect(ofClient.map(({ runs }) => runs)).toEqual([[first.id], [second.id]])
})

interface Message {
  readonly from: string
  readonly runs: string[]
}

test.each(['worker', 'client'] as const)(
  'a line on which nothing moves keeps no %s from closing',
  async (who) => {
    const { time, wire, ...processes } = await setUp()
    const { durably, job } = processes[who]
    wire.stall()
    // The client listens from here on.
    const changes = follow(durably)
    await job.trigger('quick')
    const before = time.now()
    await time.until(durably.close())
    expect(time.now() - before).toBeLessThanOrEqual(3000)
    expect(changes).not.toEqual([])
    await expect(durably.getRuns()).rejects.toThrow('was closed')
  },
)

test('nor does one that cannot be hung up', async () => {
  const { time, wire, worker, errors } = await setUp()
  wire.refuseToHangUp()
  await time.until(worker.durably.close())
  expect(errors).toContain('ending to listen for wake-ups')
  await expect(worker.durably.getRuns()).rejects.toThrow('was closed')
})

test('a job that another process resumes is no run that changed', async () => {
  const { time, worker, client } = await setUp()
  const changes = follow(worker.durably)
  await client.durably.resumeJob('job')
  await time.advance(100)
  expect(changes).toEqual([{ type: 'run:changed', runId: null }])
})

test.each(['', 'not JSON', '{}', '[]', '{"from":5,"runs":"all"}', '{"from":"x","runs":[null]}'])(
  'the message %j harms nobody',
  async (message) => {
    const { time, wire, worker, errors } = await setUp()
    wire.say(message)
    await time.advance(10)
    expect(await worker.job.triggerAndWait('fine')).toMatchObject({ output: 'fine' })
    expect(errors).toEqual([])
  },
)

test('when messages cannot be sent, polling goes on beneath, and it is said', async () => {
  const { time, wire, client, errors } = await setUp()
  wire.break()
  expect(await time.until(client.job.triggerAndWait('slow'))).toMatchObject({ output: 'slow' })
  expect(errors).toContain('waking other processes')
})

test('who cannot listen says so, and works', async () => {
  const time = createVirtualTime(0)
  const wire = createWire()
  wire.break()
  const durably = assemble(createMemoryStore(), time.createEnv(), { wakeups: wire.wakeups })
  const contexts: string[] = []
  durably.on('worker:error', ({ context }) => void contexts.push(context))
  const { echo } = durably.register({
    echo: defineJob({ name: 'echo', input: z.string(), run: (_, text) => text }),
  })
  await durably.init()
  expect(await time.until(echo.triggerAndWait('x'))).toMatchObject({ output: 'x' })
  expect(contexts).toContain('listening for wake-ups; until that works there is only polling')
  await time.until(durably.close())
})

test('a closed instance listens no more', async () => {
  const { time, wire, worker } = await setUp()
  await time.until(worker.durably.close())
  expect(wire.listeners.size).toBe(0)
  expect(worker.env.timers()).toBe(0)
})

test('a message that is never answered for holds up none that come after it for long', async () => {
  const { time, wire, client } = await setUp()
  wire.stall()
  await client.job.trigger('quick')
  await time.advance(20_000)
  wire.heal()
  const before = time.now()
  await time.until(client.job.triggerAndWait('quick'))
  expect(time.now() - before).toBeLessThanOrEqual(50)
})
