import { describe, expect, test } from 'vitest'
import { z } from 'zod'
import { NonRetryableError, RetryAfterError, TimeoutError } from '../../../src/core/error.ts'
import { defineJob } from '../../../src/core/job.ts'
import { START, job, onEveryBackend } from './world.ts'

/** A job of one step that throws so often, then returns its attempt. */
function flaky(failures: number, how: object, jobOptions: object = {}) {
  const attempts: [attempt: number, at: number][] = []
  const clock = { now: (): number => 0 }
  const definition = defineJob({
    name: 'flaky',
    input: z.unknown(),
    ...jobOptions,
    run: (step) =>
      step.run(
        'call',
        (_, { attempt }) => {
          attempts.push([attempt, clock.now() - START])
          if (attempt <= failures) throw new Error(`failure ${attempt}`)
          return attempt
        },
        how,
      ),
  })
  return { definition, attempts, clock }
}

onEveryBackend((open) => {
  describe('a step with a retry', () => {
    test('is tried again after delays that grow, and each failure is recorded', async () => {
      const world = await open()
      const { definition, attempts, clock } = flaky(3, { retry: { attempts: 4, delay: 100 } })
      clock.now = world.now
      const { jobs, durably, events } = await world.work({ flaky: definition })
      const { id, output } = await world.until(jobs.flaky.triggerAndWait(null))
      expect(output).toBe(4)
      expect(attempts).toEqual([
        [1, 0],
        [2, 100],
        [3, 300],
        [4, 700],
      ])
      expect(await durably.getSteps(id)).toMatchObject([
        { name: 'call', status: 'completed', attempts: 4, output: 4 },
      ])
      expect(events.filter(({ type }) => type === 'step:retry')).toMatchObject([
        { stepName: 'call', error: 'failure 1', retryAt: '2027-01-01T00:00:00.100Z' },
        { error: 'failure 2' },
        { error: 'failure 3' },
      ])
      expect(events.some(({ type }) => type === 'run:wait')).toBe(false)
    })

    test('fails with the last error when no attempt is left', async () => {
      const world = await open()
      const { definition, attempts } = flaky(9, { retry: { attempts: 2, delay: 1 } })
      const { jobs, durably } = await world.work({ flaky: definition })
      const { id } = await jobs.flaky.trigger(null)
      await world.advance(10)
      expect(attempts).toHaveLength(2)
      expect(await durably.getRun(id)).toMatchObject({ status: 'failed', error: 'failure 2' })
      expect(await durably.getSteps(id)).toMatchObject([{ status: 'failed', attempts: 2 }])
    })

    test('parks the run for a long delay, and uses no slot during it', async () => {
      const world = await open()
      const { definition, attempts } = flaky(1, { retry: { attempts: 2, delay: '1m' } })
      const other = job(() => 'done', 'other')
      const { jobs, durably } = await world.work({ flaky: definition, other })
      const { id } = await jobs.flaky.trigger(null)
      await world.advance(1000)
      expect(await durably.getRun(id)).toMatchObject({
        status: 'waiting',
        waitingFor: [{ kind: 'retry', name: 'call', until: '2027-01-01T00:01:00.000Z' }],
      })
      expect(await durably.getSteps(id)).toMatchObject([
        { status: 'waiting', error: 'failure 1', attempts: 1 },
      ])
      expect(await world.until(jobs.other.triggerAndWait(null))).toMatchObject({ output: 'done' })
      await world.advance(60_000)
      expect(await durably.getRun(id)).toMatchObject({ status: 'completed', output: 2 })
      expect(attempts).toHaveLength(2)
    })

    test('is tried at once when its run is woken', async () => {
      const world = await open()
      const { definition, attempts } = flaky(1, { retry: { attempts: 2, delay: '1m' } })
      const { jobs, durably } = await world.work({ flaky: definition })
      const { id } = await jobs.flaky.trigger(null)
      await world.advance(1000)
      await world.until(durably.wake(id, 'call'))
      await world.advance(10)
      expect(attempts).toHaveLength(2)
      expect(await durably.getRun(id)).toMatchObject({ status: 'completed', output: 2 })
    })

    test('keeps its attempts and the time of the next one when its worker dies', async () => {
      const world = await open()
      const { definition, attempts, clock } = flaky(2, {
        retry: { attempts: 3, delay: '1m', factor: 1 },
      })
      clock.now = world.now
      const first = await world.work({ flaky: definition })
      const { id } = await world.until(first.jobs.flaky.trigger(null))
      await world.advance(100)
      first.crash()
      const { durably } = await world.work({ flaky: definition })
      await world.advance(180_000)
      expect(await durably.getRun(id)).toMatchObject({ status: 'completed', output: 3 })
      expect(attempts.map(([attempt]) => attempt)).toEqual([1, 2, 3])
      expect(attempts[1]?.[1]).toBeGreaterThanOrEqual(60_000)
      expect(attempts[1]?.[1]).toBeLessThan(61_100)
    })

    test('forgets its attempts when its run is retried', async () => {
      const world = await open()
      const { definition, attempts } = flaky(3, { retry: { attempts: 2, delay: 1 } })
      const { jobs, durably } = await world.work({ flaky: definition })
      const { id } = await jobs.flaky.trigger(null)
      await world.advance(10)
      await world.until(durably.retry(id))
      await world.advance(10)
      expect(attempts.map(([attempt]) => attempt)).toEqual([1, 2, 3, 4])
      expect(await durably.getRun(id)).toMatchObject({ status: 'completed', output: 4 })
    })

    test('does not try again what is not worth it', async () => {
      const world = await open()
      const calls: string[] = []
      const retry = {
        attempts: 5,
        delay: 1,
        retryIf: (error: unknown) => !(error instanceof Error && error.message === 'bad'),
      }
      const failing = job(async (step) => {
        const outcomes = await Promise.allSettled([
          step.run('final', () => fail('final', new NonRetryableError('never')), { retry }),
          step.run('bad', () => fail('bad', new Error('bad')), { retry }),
          step.run('later', () => fail('later', new RetryAfterError(7)), {
            retry: { attempts: 2 },
          }),
          step.run('asked', () => fail('asked', new Error('x')), {
            retry: (attempt) => (attempt < 3 ? 1 : false),
          }),
          step.run('unstorable', () => (calls.push('unstorable'), () => {}), { retry }),
        ])
        return outcomes.map((outcome) => outcome.status === 'rejected' && nameOf(outcome.reason))
      })
      const fail = (name: string, error: Error): never => {
        calls.push(name)
        throw error
      }
      const { jobs } = await world.work({ failing })
      const { output } = await world.until(jobs.failing.triggerAndWait(null))
      expect(output).toEqual([
        'NonRetryableError',
        'Error',
        'RetryAfterError',
        'Error',
        'SerializationError',
      ])
      expect(calls.toSorted()).toEqual(
        ['final', 'bad', 'later', 'later', 'asked', 'asked', 'asked', 'unstorable'].toSorted(),
      )
    })

    test('whose policy throws fails with its own error, and the trouble is told', async () => {
      const world = await open()
      const failing = job((step) =>
        step.run('call', () => Promise.reject(new Error('mine')), {
          retry: () => {
            throw new Error('policy')
          },
        }),
      )
      const { jobs, takeErrors } = await world.work({ failing })
      await expect(world.until(jobs.failing.triggerAndWait(null))).rejects.toThrow('mine')
      expect(takeErrors()).toMatchObject([{ error: 'policy' }])
    })

    test('takes what its job says for all its steps', async () => {
      const world = await open()
      const { definition, attempts } = flaky(2, {}, { retry: { attempts: 3, delay: 1 } })
      const { jobs } = await world.work({ flaky: definition })
      expect(await world.until(jobs.flaky.triggerAndWait(null))).toMatchObject({ output: 3 })
      expect(attempts).toHaveLength(3)
    })
  })

  test.each<[string, Parameters<typeof job>[0]]>([
    ['an attempt', (step) => step.run('x', () => new Promise(() => {}), { timeout: '1h' })],
    [
      'the next one',
      (step) => step.run('x', () => Promise.reject(new Error('no')), { retry: { delay: 900 } }),
    ],
  ])('a run that is cancelled before %s is over leaves no timer behind', async (_, run) => {
    const world = await open()
    const { jobs, durably } = await world.work({ job: job(run) })
    const { id } = await world.until(jobs.job.trigger(null))
    await world.advance(60)
    // A closed instance whose timers are set fails the test.
    await world.until(durably.cancel(id))
  })

  describe('a step with a timeout', () => {
    test('fails when it takes longer; its signal fires, and its late result is dropped', async () => {
      const world = await open()
      const late = Promise.withResolvers<string>()
      const reasons: unknown[] = []
      const slow = job(async (step) => {
        const error = await step
          .run(
            'slow',
            (signal) => {
              signal.addEventListener('abort', () => reasons.push(signal.reason))
              return late.promise
            },
            { timeout: 50 },
          )
          .catch((thrown: unknown) => thrown)
        late.resolve('late')
        await step.run('next', () => 1)
        return error instanceof TimeoutError && error.message
      })
      const { jobs, durably } = await world.work({ slow })
      const { id, output } = await world.until(jobs.slow.triggerAndWait(null))
      expect(output).toBe('Step "slow" took longer than 50 ms')
      expect(reasons).toEqual([expect.any(TimeoutError)])
      expect(await durably.getSteps(id)).toMatchObject([
        { status: 'failed' },
        { status: 'completed' },
      ])
    })

    test('is tried again once its function is over, or after as long again', async () => {
      const world = await open()
      const log: string[] = []
      const note = (what: string): void => void log.push(`${what} ${world.now() - START}`)
      const slow = job((step) =>
        step.run(
          'slow',
          (signal, { attempt }) => {
            note(`start ${attempt}`)
            if (attempt === 3) return 'done'
            return new Promise((resolve) => {
              if (attempt === 1) signal.addEventListener('abort', () => resolve('too late'))
            })
          },
          { timeout: 50, retry: { attempts: 3, delay: 10, factor: 1 } },
        ),
      )
      const { jobs } = await world.work({ slow })
      expect(await world.until(jobs.slow.triggerAndWait(null))).toMatchObject({ output: 'done' })
      expect(log).toEqual(['start 1 0', 'start 2 60', 'start 3 160'])
    })
  })
})

function nameOf(error: unknown): string {
  return error instanceof Error ? error.name : ''
}
