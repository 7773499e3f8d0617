import { expect, test } from 'vitest'
import { RunFailedError } from '../../../src/core/error.ts'
import { readAll } from './read-all.ts'
import { job, onEveryBackend } from './world.ts'

onEveryBackend((open) => {
  test('a job that throws fails its run with message, name, stack and cause', async () => {
    const world = await open()
    const { jobs, durably } = await world.work({
      job: job(() => {
        throw new RangeError('too far', { cause: new Error('deep', { cause: 'deeper' }) })
      }),
    })
    const { id } = await jobs.job.trigger(null)
    await expect(durably.waitForRun(id)).rejects.toBeInstanceOf(RunFailedError)
    const run = await durably.getRun(id)
    expect(run).toMatchObject({ status: 'failed', error: 'too far', output: null })
    expect(run?.errorDetail).toMatchObject({
      name: 'RangeError',
      cause: { name: 'Error', message: 'deep', cause: { message: 'deeper' } },
    })
    expect(run?.errorDetail?.stack).toContain('failures.test.ts')
    expect(run?.errorDetail).not.toHaveProperty('step')
  })

  test('what waitForRun rejects with leads to the error itself', async () => {
    const world = await open()
    const { jobs } = await world.work({
      job: job((step) =>
        step.run('fetch', () => {
          throw Object.assign(new TypeError('no route'), { code: 'EHOSTUNREACH' })
        }),
      ),
    })
    const failure: unknown = await jobs.job.triggerAndWait(null).catch((error: unknown) => error)
    expect(failure).toBeInstanceOf(RunFailedError)
    expect(failure).toMatchObject({ message: 'no route', detail: { step: 'fetch' } })
    expect((failure as Error).cause).toBeInstanceOf(TypeError)
    expect((failure as Error).cause).toMatchObject({ message: 'no route', code: 'EHOSTUNREACH' })
  })

  test('the failed step is the one whose failure left the job', async () => {
    const world = await open()
    const { jobs, durably, events } = await world.work({
      job: job(async (step) => {
        await step.run('caught', () => Promise.reject(new Error('a'))).catch(() => {})
        await step.run('fine', () => 1)
        await step.run('fatal', () => Promise.reject(new Error('b')))
      }),
    })
    const { id } = await jobs.job.trigger(null)
    await durably.waitForRun(id).catch(() => {})
    const failed = events.filter(({ type }) => type === 'run:fail')
    expect(failed).toMatchObject([{ error: 'b', failedStepName: 'fatal' }])
    expect(await durably.getRun(id)).toMatchObject({ errorDetail: { step: 'fatal' } })
  })

  test('an error of the job itself names no step, whatever failed before', async () => {
    const world = await open()
    const { jobs, durably, events } = await world.work({
      job: job(async (step) => {
        await step.run('caught', () => Promise.reject(new Error('a'))).catch(() => {})
        throw new Error('a')
      }),
    })
    const { id } = await jobs.job.trigger(null)
    await durably.waitForRun(id).catch(() => {})
    expect(events.filter(({ type }) => type === 'run:fail')).toMatchObject([
      { error: 'a', failedStepName: null },
    ])
  })

  test('of parallel steps that fail, the one that the job saw first is named', async () => {
    const world = await open()
    const { jobs, durably } = await world.work({
      job: job((step) =>
        Promise.all([
          step.run(
            'waits',
            () => new Promise((_, reject) => setTimeout(reject, 0, new Error('w'))),
          ),
          step.run('at once', () => Promise.reject(new Error('o'))),
        ]),
      ),
    })
    const { id } = await jobs.job.trigger(null)
    await durably.waitForRun(id).catch(() => {})
    expect(await durably.getRun(id)).toMatchObject({ error: 'o', errorDetail: { step: 'at once' } })
  })

  test('the stack of a step tells where it was thrown', async () => {
    const world = await open()
    function thrower(): never {
      throw new Error('here')
    }
    const { jobs, events } = await world.work({ job: job((step) => step.run('throws', thrower)) })
    await jobs.job.triggerAndWait(null).catch(() => {})
    const [failed] = events.filter((event) => event.type === 'step:fail')
    expect(failed?.errorDetail.stack).toContain('thrower')
  })

  test.each([
    ['a string', 'just text', 'just text'],
    ['an object', { reason: 'bad' }, '{"reason":"bad"}'],
    ['an object with a message', { status: 402, message: 'Card declined' }, 'Card declined'],
    ['undefined', undefined, 'undefined'],
    ['a BigInt', 5n, '5'],
  ])('%s that is thrown becomes an error', async (_, thrown, message) => {
    const world = await open()
    const { jobs, durably } = await world.work({
      job: job((step) =>
        step.run('throws', () => {
          // oxlint-disable-next-line typescript/only-throw-error -- what some libraries do
          throw thrown
        }),
      ),
    })
    const { id } = await jobs.job.trigger(null)
    await durably.waitForRun(id).catch(() => {})
    expect(await durably.getRun(id)).toMatchObject({ status: 'failed', error: message })
  })

  test('causes that go round in a circle are kept to a depth', async () => {
    const world = await open()
    const { jobs, durably } = await world.work({
      job: job(() => {
        const error = new Error('round')
        error.cause = error
        throw error
      }),
    })
    const { id } = await jobs.job.trigger(null)
    await durably.waitForRun(id).catch(() => {})
    expect(await durably.getRun(id)).toMatchObject({ error: 'round' })
  })

  test('an error whose parts throw when they are read fails only its run', async () => {
    const world = await open()
    const { jobs, durably } = await world.work({
      job: job((step) =>
        step.run('hostile', () => {
          const error = new Error('x')
          Object.defineProperty(error, 'message', {
            get() {
              throw new Error('no message for you')
            },
          })
          throw error
        }),
      ),
    })
    const { id } = await jobs.job.trigger(null)
    await world.until(durably.waitForRun(id).catch(() => {}))
    expect(await durably.getRun(id)).toMatchObject({ status: 'failed' })
  })

  test('a step that nobody awaits and that fails ends neither process nor run', async () => {
    const world = await open()
    const { jobs } = await world.work({
      job: job(async (step) => {
        void step.run('forgotten', () => Promise.reject(new Error('unheard')))
        await step.run('next', () => 1)
        return 'done'
      }),
    })
    expect(await jobs.job.triggerAndWait(null)).toMatchObject({ output: 'done' })
  })

  test('a step that ends as its run ends stands before that end in the journal, or not at all', async () => {
    const world = await open()
    const { jobs, durably } = await world.work({
      job: job(async (step, hops) => {
        const end = Promise.withResolvers<void>()
        void step.run('late', () => end.promise)
        await step.run('last', () => 1)
        const endAfter = async (): Promise<void> => {
          for (let i = 0; i < Number(hops); i++) await Promise.resolve()
          end.resolve()
        }
        void endAfter()
      }),
    })
    for (let hops = 0; hops < 25; hops++) {
      const { id } = await jobs.job.triggerAndWait(hops)
      await world.settle()
      const events = await readAll(durably.subscribe(id))
      expect(events.at(-1)?.type).toBe('run:complete')
    }
  })

  test('steps that still run when the job fails are aborted and leave no trace', async () => {
    const world = await open()
    const late = Promise.withResolvers<string>()
    const reasons: unknown[] = []
    const { jobs, durably } = await world.work({
      job: job(async (step) => {
        void step.run('late', (signal) => {
          signal.addEventListener('abort', () => reasons.push(signal.reason))
          return late.promise
        })
        await step.run('fails', () => Promise.reject(new Error('over')))
      }),
    })
    const { id } = await jobs.job.trigger(null)
    await durably.waitForRun(id).catch(() => {})
    late.resolve('too late')
    await world.settle()
    expect(reasons).toMatchObject([{ name: 'CancelledError' }])
    expect((await durably.getSteps(id)).map(({ name }) => name)).toEqual(['fails'])
  })

  test('no step begins once the run has ended', async () => {
    const world = await open()
    const gate = Promise.withResolvers<void>()
    const begun: string[] = []
    const { jobs, durably } = await world.work({
      job: job(async (step) => {
        const begin = (name: string) => step.run(name, () => void begun.push(name))
        void gate.promise.then(() => begin('much later'))
        const slower = async (): Promise<void> => {
          await begin('second')
          await begin('too late')
        }
        await Promise.race([begin('first'), slower()])
      }),
    })
    const { id } = await jobs.job.trigger(null)
    await durably.waitForRun(id)
    gate.resolve()
    await world.settle()
    expect(begun).toEqual(['first', 'second'])
  })
})
