import { expect, test } from 'vitest'
import type { DurablyEvent } from '../../../src/core/event.ts'
import type { StepContext, StepInfo } from '../../../src/core/step-context.ts'
import { readAll } from './read-all.ts'
import { job, onEveryBackend } from './world.ts'

const words = ['to', 'be', 'or', 'not']

async function write(stream: WritableStream<unknown>, chunks: readonly unknown[]): Promise<void> {
  const writer = stream.getWriter()
  for (const chunk of chunks) await writer.write(chunk)
  await writer.close()
}

const chunksOf = (events: readonly DurablyEvent[]) =>
  events.flatMap((event) =>
    event.type === 'step:chunk' ? [[event.stepName, event.stream, event.attempt, event.chunk]] : [],
  )

const thrown = async (fn: () => unknown): Promise<string> => {
  try {
    await fn()
    return 'nothing'
  } catch (error) {
    return (error as Error).message
  }
}

onEveryBackend((open) => {
  test('chunks are read as they come, and again, from any process', async () => {
    const world = await open()
    const pause = Promise.withResolvers<void>()
    const { jobs, durably } = await world.work({
      job: job(async (step) => {
        await step.run('recite', async () => {
          const writer = step.stream<string>('words').getWriter()
          for (const word of words.slice(0, 2)) await writer.write(word)
          await pause.promise
          for (const word of words.slice(2)) await writer.write(word)
          await writer.close()
        })
      }),
    })
    const { durably: elsewhere } = await world.join()
    const { id } = await jobs.job.trigger(null)
    const live = elsewhere.subscribe(id)
    const heard: DurablyEvent[] = []
    const listening = (async () => {
      for await (const event of live) heard.push(event)
    })()
    await world.advance(1100)
    expect(chunksOf(heard).map(([, , , chunk]) => chunk)).toEqual(['to', 'be'])
    pause.resolve()
    await world.until(listening)
    const expected = words.map((word) => ['recite', 'words', 1, word])
    expect(chunksOf(heard)).toEqual(expected)
    expect(chunksOf(await readAll(durably.subscribe(id)))).toEqual(expected)
    const third = heard.find((event) => event.type === 'step:chunk' && event.chunk === 'be')
    const rest = await readAll(durably.subscribe(id, { after: third?.sequence }))
    expect(chunksOf(rest)).toEqual(expected.slice(2))
  })

  test('chunks of a failed attempt stand before its failure, those of the next one after', async () => {
    const world = await open()
    const { jobs, durably } = await world.work({
      job: job(async (step) => {
        await step.run(
          'recite',
          async (_, { attempt, stream }) => {
            await write(stream('words'), words.slice(0, attempt))
            if (attempt === 1) throw new Error('lost for words')
          },
          { retry: { attempts: 2, delay: 0 } },
        )
      }),
    })
    const { id } = await world.until(jobs.job.triggerAndWait(null))
    const events = await readAll(durably.subscribe(id))
    const told = events.map((event) =>
      event.type === 'step:chunk' ? `${event.attempt}: ${String(event.chunk)}` : event.type,
    )
    expect(told.filter((one) => /^\d|step:retry/.test(one))).toEqual([
      '1: to',
      'step:retry',
      '2: to',
      '2: be',
    ])
    expect(events.at(-1)?.type).toBe('run:complete')
  })

  test('a step that completed is not executed again, and its chunks stay', async () => {
    const world = await open()
    let executions = 0
    const recites = job(async (step) => {
      await step.run('recite', async () => {
        executions++
        await write(step.stream('words'), words)
      })
      await step.waitForSignal('go')
    })
    const first = await world.work({ job: recites })
    const { id } = await first.jobs.job.trigger(null)
    await world.advance(200)
    first.crash()
    const second = await world.work({ job: recites })
    await world.until(second.durably.signal(id, 'go'))
    const events = await world.until(readAll(second.durably.subscribe(id)))
    expect(executions).toBe(1)
    expect(chunksOf(events)).toHaveLength(words.length)
  })

  test('what a dead worker wrote is followed by the start of the next one', async () => {
    const world = await open()
    const stuck = Promise.withResolvers<void>()
    const recites = (when: Promise<void>) =>
      job(async (step) => {
        await step.run('recite', async () => {
          const writer = step.stream('words').getWriter()
          await writer.write('to')
          await when
          await writer.close()
        })
      })
    const first = await world.work({ job: recites(stuck.promise) })
    const { id } = await first.jobs.job.trigger(null)
    await world.advance(1000)
    first.crash()
    const second = await world.work({ job: recites(Promise.resolve()) })
    const events = await world.until(readAll(second.durably.subscribe(id)))
    const told = events.flatMap(({ type }) => (/chunk|start$/.test(type) ? type : []))
    expect(told.filter((type) => type !== 'step:start')).toEqual([
      'run:start',
      'step:chunk',
      'run:start',
      'step:chunk',
    ])
  })

  test('values of any kind are chunks, and what cannot be stored breaks the stream', async () => {
    const world = await open()
    const chunks = [new Date(0), new Map([[1, 2n]]), { a: [null] }, 'text', 0]
    const { jobs, durably } = await world.work({
      job: job(async (step) => {
        await step.run('emit', (_, { stream }) => write(stream('values'), chunks))
        return step.run('refuse', (_, { stream }) =>
          thrown(() => write(stream('values'), [() => {}])),
        )
      }),
    })
    const { id, output } = await world.until(jobs.job.triggerAndWait(null))
    expect(output).toMatch(/^Cannot store a chunk of stream "values": a function is not a value/)
    const events = await readAll(durably.subscribe(id))
    expect(chunksOf(events).map(([, , , chunk]) => chunk)).toEqual(chunks)
  })

  test('many chunks are few commits', async () => {
    const world = await open()
    const { jobs, durably, wire } = await world.work({
      job: job((step) =>
        step.run('count', () =>
          write(
            step.stream('numbers'),
            Array.from({ length: 1000 }, (_, i) => i),
          ),
        ),
      ),
    })
    const before = wire.calls.get('write') ?? 0
    const { id } = await world.until(jobs.job.triggerAndWait(null))
    expect((wire.calls.get('write') ?? 0) - before).toBeLessThan(15)
    const events = await readAll(durably.subscribe(id))
    expect(chunksOf(events).map(([, , , chunk]) => chunk)).toEqual(
      Array.from({ length: 1000 }, (_, i) => i),
    )
  })

  test('whoever waits for chunks to be stored waits for the database alone', async () => {
    const world = await open()
    const leaves = Promise.withResolvers<void>()
    const second = Promise.withResolvers<void>()
    const { jobs, wire } = await world.work({
      job: job(async (step) => {
        // More than may be on their way.
        const many = Array.from({ length: 600 }, (_, i) => i)
        await step.run('count', (_, { stream }) => write(stream('many'), many))
        // Some that come up while others are written.
        await step.run('recite', async (_, { stream }) => {
          const first = write(stream('first'), words)
          await leaves.promise
          const others = write(stream('others'), words)
          world.createEnv().turn(second.resolve)
          await Promise.all([first, others])
        })
      }),
    })
    wire.intercept(async (_, proceed, request) => {
      if (JSON.stringify(request).includes('first')) {
        leaves.resolve()
        await second.promise
      }
      return proceed()
    })
    const began = world.now()
    await world.until(jobs.job.triggerAndWait(null))
    expect(world.now() - began).toBeLessThan(50)
  })

  test('an attempt that is over writes no more', async () => {
    const world = await open()
    const late = Promise.withResolvers<string>()
    const { jobs, durably } = await world.work({
      job: job(async (step) => {
        await step.run(
          'slow',
          async (signal, { attempt, stream }) => {
            const writer = stream('words').getWriter()
            await writer.write(`attempt ${attempt}`)
            if (attempt === 2) return
            await new Promise((resolve) => signal.addEventListener('abort', resolve))
            late.resolve(await thrown(() => writer.write('too late')))
          },
          { timeout: 1000, retry: { attempts: 2, delay: 0 } },
        )
      }),
    })
    const { id } = await world.until(jobs.job.triggerAndWait(null))
    expect(await late.promise).toBe('Step "slow" took longer than 1000 ms')
    const events = await readAll(durably.subscribe(id))
    expect(chunksOf(events).map(([, , , chunk]) => chunk)).toEqual(['attempt 1', 'attempt 2'])
  })

  test('a stream without a step, or twice at once, says so', async () => {
    const world = await open()
    let leaked: StepContext['stream'] | undefined
    const { jobs } = await world.work({
      job: job(async (step) => {
        const outside = await thrown(() => step.stream('words'))
        const inside = await step.run('one', async (_, { stream }) => {
          leaked = stream
          const once = step.stream('words')
          const twice = await thrown(() => step.stream('words'))
          await once.close()
          await step.stream('words').close()
          return [twice, await thrown(() => step.stream(''))]
        })
        return [outside, ...inside, await thrown(() => leaked?.('words'))]
      }),
    })
    const { output } = await world.until(jobs.job.triggerAndWait(null))
    expect(output).toEqual([
      'stream "words" has no step: it is written by the function of a step',
      'stream "words" of step "one" is open already',
      'stream name must not be empty',
      'stream "words" is opened after step "one" ended',
    ])
  })

  test('a step that wrote no stream while it ran opens none afterwards', async () => {
    const world = await open()
    const { jobs } = await world.work({
      job: job(async (step) => {
        const info = await new Promise<StepInfo>((resolve) => {
          void step.run('one', (_, given) => resolve(given))
        })
        await step.run('two', () => null)
        return thrown(() => info.stream('words'))
      }),
    })
    const { output } = await world.until(jobs.job.triggerAndWait(null))
    expect(output).toBe('stream "words" is opened after step "one" ended')
  })
})
