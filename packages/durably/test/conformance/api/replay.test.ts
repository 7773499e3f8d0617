import { expect, test } from 'vitest'
import type { StepContext } from '../../../src/core/step-context.ts'
import { wait } from '../../../src/core/wait.ts'
import { job, onEveryBackend, type World } from './world.ts'

/** Runs the job in a process that dies in its last step, and once more in another one. */
async function replay<T>(
  world: World,
  body: (step: StepContext) => Promise<T>,
): Promise<Replayed<T>> {
  const seen: T[] = []
  const executed: string[] = []
  const first = Promise.withResolvers<void>()
  const definition = job(async (step) => {
    const observed: StepContext = {
      ...step,
      run: (name, fn) =>
        step.run(name, (...args) => {
          executed.push(name)
          return fn(...args)
        }),
    }
    const value = await body(observed)
    seen.push(value)
    await step.run('last', () => {
      if (seen.length > 1) return
      first.resolve()
      return new Promise<void>(() => {})
    })
    return value
  })
  const doomed = await world.work({ definition })
  const { id } = await doomed.jobs.definition.trigger(null)
  await world.until(first.promise)
  const calls = executed.splice(0)
  doomed.crash()
  const { durably } = await world.work({ definition })
  await world.until(durably.waitForRun(id))
  return { runId: id, seen, calls, replayedCalls: executed }
}

interface Replayed<T> {
  readonly runId: string
  /** What the job made of its steps, the first and the second time. */
  readonly seen: readonly T[]
  /** The steps whose functions were called, the first and the second time. */
  readonly calls: readonly string[]
  readonly replayedCalls: readonly string[]
}

/** Steps that end in the order in which `order` names them. */
function inOrder(step: StepContext, order: readonly string[]): (name: string) => Promise<string> {
  const gates = new Map(order.map((name) => [name, Promise.withResolvers<void>()]))
  gates.get(order[0] ?? '')?.resolve()
  return async (name) => {
    const result = await step.run(name, async () => {
      await gates.get(name)?.promise
      return name
    })
    gates.get(order[order.indexOf(name) + 1] ?? '')?.resolve()
    return result
  }
}

const orders = ['abc', 'acb', 'bac', 'bca', 'cab', 'cba'].map((order) => order.split(''))

onEveryBackend((open) => {
  test('completed steps are not executed again', async () => {
    const world = await open()
    const { seen, calls, replayedCalls } = await replay(world, async (step) => {
      const a = await step.run('a', () => ({ at: new Date(5), big: 7n }))
      const b = await step.run('b', () => undefined)
      return { a, b }
    })
    expect(calls).toEqual(['a', 'b'])
    expect(replayedCalls).toEqual([])
    expect(seen[1]).toEqual(seen[0])
  })

  test('a failure is thrown again with its name, message, stack and cause', async () => {
    const world = await open()
    class PaymentError extends Error {
      override readonly name = 'PaymentError'
      readonly code = 'E_CARD'
    }
    const { seen, replayedCalls } = await replay(world, async (step) => {
      try {
        await step.run('pay', () => {
          throw new PaymentError('declined', { cause: new TypeError('bad card') })
        })
      } catch (error) {
        const { name, message, stack, cause, code } = error as PaymentError
        return { name, message, stack, code, cause, isTypeError: cause instanceof TypeError }
      }
      return null
    })
    expect(replayedCalls).toEqual([])
    expect(seen[0]).toMatchObject({ name: 'PaymentError', message: 'declined', code: 'E_CARD' })
    expect(seen[0]).toMatchObject({ cause: { message: 'bad card' }, isTypeError: true })
    expect(seen[0]?.stack).toContain('replay.test.ts')
    expect(seen[1]).toEqual(seen[0])
  })

  test('a caught failure takes the same branch', async () => {
    const world = await open()
    let healthy = false
    const { seen, replayedCalls } = await replay(world, async (step) => {
      const used = await step
        .run('primary', () => {
          if (!healthy) throw new Error('down')
          return 'primary'
        })
        .catch(() => step.run('fallback', () => 'fallback'))
      healthy = true
      return used
    })
    expect(seen).toEqual(['fallback', 'fallback'])
    expect(replayedCalls).toEqual([])
  })

  test('tries of one name are replayed in the order of the calls', async () => {
    const world = await open()
    let tries = 0
    const { seen, replayedCalls } = await replay(world, async (step) => {
      const outcomes: string[] = []
      for (let i = 0; i < 3; i++) {
        await step
          .run('try', () => {
            tries++
            if (tries < 3) throw new Error(`try ${tries}`)
            return `try ${tries}`
          })
          .then(
            (value) => outcomes.push(`ok ${value}`),
            (error: Error) => outcomes.push(error.message),
          )
      }
      return outcomes
    })
    expect(seen[0]).toEqual(['try 1', 'try 2', 'ok try 3'])
    expect(seen[1]).toEqual(seen[0])
    expect(replayedCalls).toEqual([])
  })

  test.each(orders)('races that ended %s, %s, %s have the same winners', async (...order) => {
    const world = await open()
    const { seen, replayedCalls } = await replay(world, async (step) => {
      const run = inOrder(step, order)
      const [a, b, c] = [run('a'), run('b'), run('c')]
      const settled: string[] = []
      for (const call of [a, b, c]) void call.then((name) => settled.push(name))
      const winner = await Promise.race([c, b, a])
      const runnersUp = [a, b, c].filter((_, i) => 'abc'[i] !== winner)
      const second = await Promise.race(runnersUp)
      const all = await Promise.all([a, b, c])
      return { winner, second, all, settled: [...settled] }
    })
    const [first, second] = order
    expect(seen[0]).toMatchObject({ winner: first, second, all: ['a', 'b', 'c'] })
    expect(seen[0]?.settled).toEqual(order)
    expect(seen[1]).toEqual(seen[0])
    expect(replayedCalls).toEqual([])
  })

  test('what follows from the winner of a race is replayed too', async () => {
    const world = await open()
    const { seen, calls, replayedCalls } = await replay(world, async (step) => {
      const run = inOrder(step, ['slow start', 'b', 'a'])
      const winner = await Promise.race([run('a'), run('b'), run('slow start')])
      const after = await step.run(`after ${winner}`, () => winner.length)
      return { winner, after }
    })
    expect(seen[0]).toEqual({ winner: 'slow start', after: 10 })
    expect(seen[1]).toEqual(seen[0])
    expect(calls).toContain('after slow start')
    expect(replayedCalls).not.toContain('after slow start')
  })

  test.each([
    ['the order of their ends', 'ab'],
    ['another order', 'ba'],
  ])('results that were stored together settle one by one, called in %s', async (_, order) => {
    const world = await open()
    const { seen } = await replay(world, async (step) => {
      const bothEnd = Promise.withResolvers<void>()
      const ends = { a: () => bothEnd.resolve(), b: () => bothEnd.promise }
      const calls = new Map<string, Promise<string>>()
      for (const name of order.split('') as ('a' | 'b')[]) {
        calls.set(
          name,
          step.run(name, async () => ends[name]()).then(() => name),
        )
      }
      // What follows from the first takes longer than what follows from the second.
      const detour = calls.get('a')?.then(async (name) => {
        for (let i = 0; i < 20; i++) await Promise.resolve()
        return name
      })
      return Promise.race([detour, calls.get('b')])
    })
    expect(seen).toEqual(['a', 'a'])
  })

  test('Promise.all fails with the same error when several steps fail', async () => {
    const world = await open()
    const { seen } = await replay(world, async (step) => {
      const turn = Promise.withResolvers<void>()
      const first = step.run('first', async () => {
        await turn.promise
        throw new Error('first')
      })
      const second = step.run('second', () => {
        throw new Error('second')
      })
      void second.catch(() => turn.resolve())
      return Promise.all([first, second]).catch((error: Error) => error.message)
    })
    expect(seen).toEqual(['second', 'second'])
  })

  test('Promise.allSettled and nested parallel steps come out the same', async () => {
    const world = await open()
    const { seen, replayedCalls } = await replay(world, async (step) => {
      const branch = async (name: string): Promise<string[]> => {
        const one = await step.run(`${name} 1`, () => `${name}1`)
        const two = await step.run(`${name} 2`, () => {
          if (name === 'y') throw new Error(name)
          return `${name}2`
        })
        return [one, two]
      }
      const settled = await Promise.allSettled([branch('x'), branch('y'), branch('z')])
      return settled.map((result) =>
        result.status === 'fulfilled' ? result.value : String(result.reason),
      )
    })
    expect(seen[0]).toEqual([['x1', 'x2'], 'Error: y', ['z1', 'z2']])
    expect(seen[1]).toEqual(seen[0])
    expect(replayedCalls).toEqual([])
  })

  test('a step that is still executing when the worker dies is executed again', async () => {
    const world = await open()
    let executions = 0
    const { seen, replayedCalls } = await replay(world, async (step) => {
      const never = step.run('open', () =>
        executions++ === 0 ? new Promise<string>(() => {}) : 'open',
      )
      return Promise.race([never, step.run('fast', () => 'fast')])
    })
    expect(seen).toEqual(['fast', 'fast'])
    expect(replayedCalls).toEqual(['open'])
  })

  test('the places of steps stay as they were', async () => {
    const world = await open()
    const { runId } = await replay(world, async (step) => {
      const open = Promise.withResolvers<void>()
      const a = step.run('a', () => open.promise)
      await step.run('b', () => 1)
      await step.run('c', () => open.resolve())
      await a
    })
    const { durably } = await world.join()
    const steps = await durably.getSteps(runId)
    expect(steps.map(({ name, index }) => [name, index])).toEqual([
      ['a', 0],
      ['b', 1],
      ['c', 2],
      ['last', 3],
    ])
  })

  test('a step of new code gets a place of its own', async () => {
    const world = await open()
    let isNew = false
    const { runId } = await replay(world, async (step) => {
      await step.run('a', () => 1)
      if (isNew) await step.run('new', () => 2)
      await step.run('b', () => 3)
      isNew = true
    })
    const { durably } = await world.join()
    const steps = await durably.getSteps(runId)
    expect(steps.map(({ name }) => name)).toEqual(['a', 'b', 'new', 'last'])
    expect(steps.map(({ index }) => index)).toEqual([0, 1, 2, 3])
  })

  test('what a name came to is no answer to another kind of call of that name', async () => {
    const world = await open()
    const ways: Record<string, (step: StepContext, name: string) => Promise<unknown>> = {
      run: (step, name) => step.run(name, () => 'ran'),
      sleep: (step, name) => step.sleep(name, 10),
      waitForSignal: (step, name) => step.waitForSignal(name, { timeout: 10 }),
      token: (step, name) => step.token(name),
      waitAny: (step, name) => step.waitAny(name, { late: wait.for(10) }),
    }
    const pairs = Object.entries(ways).flatMap(([was, first]) =>
      Object.entries(ways).map(([is, second]) => ({ was, is, first, second })),
    )
    const refused: string[] = []
    const { durably, jobs } = await world.work({
      job: job(async (step) => {
        for (const { was, is, first, second } of pairs) {
          const name = `${was} ${is}`
          if (step.attempt === 1) await first(step, name)
          else await second(step, name).catch((error: Error) => refused.push(error.message))
        }
        if (step.attempt === 1) throw new Error('once')
      }),
    })
    const { id } = await jobs.job.trigger(null)
    await expect(world.until(durably.waitForRun(id))).rejects.toThrow('once')
    await durably.retry(id)
    await world.until(durably.waitForRun(id))
    const others = pairs.filter(({ was, is }) => was !== is)
    expect(refused).toEqual(
      others.map(
        ({ was, is }) =>
          `"${was} ${is}" is recorded as what step.${was} came to, and now called by step.${is}: give what is new in the code a name of its own`,
      ),
    )
  })

  test('a sleep may become one until a date', async () => {
    const world = await open()
    const { durably, jobs } = await world.work({
      job: job(async (step) => {
        if (step.attempt > 1) return step.sleepUntil('nap', new Date(0))
        await step.sleep('nap', 10)
        throw new Error('once')
      }),
    })
    const { id } = await jobs.job.trigger(null)
    await expect(world.until(durably.waitForRun(id))).rejects.toThrow('once')
    await durably.retry(id)
    expect(await world.until(durably.waitForRun(id))).toMatchObject({ status: 'completed' })
  })
})
