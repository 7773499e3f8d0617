import { stringify } from 'devalue'
import { expect, test } from 'vitest'
import { z } from 'zod'
import { defineJob } from '../../src/core/job.ts'
import { RICH_TYPE } from '../../src/core/wire.ts'
import { inMemory, job, type World } from '../conformance/api/world.ts'
import { serve } from './server.ts'

const waits = job((step) => step.waitForSignal('go'), 'waits')
const echo = job((_, payload) => payload, 'echo')
const names = defineJob({ name: 'names', input: z.array(z.string()), run: () => 0 })

async function begin(world: World) {
  const process = await world.work({ waits, echo, names })
  const errors: unknown[] = []
  const server = serve(world, process, { onError: (error) => errors.push(error) })
  return { ...process, ...server, errors }
}

inMemory((open) => {
  test.each([1001, 5000, 500_000])(
    'a body of %i levels is refused, at each route',
    async (levels) => {
      const world = await open()
      const { json, jobs, errors } = await begin(world)
      const { id } = await jobs.waits.trigger(null)
      const refused = [
        400,
        {
          error: {
            code: 'validation',
            message: 'the body must be nested at most 1000 levels deep',
          },
        },
      ]
      // The body itself is one of them.
      const deep = `${'['.repeat(levels - 1)}${']'.repeat(levels - 1)}`
      for (const [path, text] of [
        ['/trigger', `{"jobName":"echo","input":${deep}}`],
        [`/signal?runId=${id}`, `{"name":"go","data":${deep}}`],
        ['/tokens/none', `{"data":${deep}}`],
      ] as const) {
        expect(await json('POST', path, text)).toEqual(refused)
      }
      const chain = Array.from({ length: Math.min(levels, 100_000) }, (_, i) => [i + 3])
      const value = [{ jobName: 1, input: 2 }, 'echo', ...chain, 1]
      const rich = { 'content-type': RICH_TYPE }
      expect(await json('POST', '/trigger', { format: 'rich', value }, rich)).toEqual(refused)
      expect(errors).toEqual([])
      expect(await jobs.echo.getRuns()).toEqual([])
    },
  )

  test('a body of 1000 levels is stored, and shown again', async () => {
    const world = await open()
    const { json, jobs } = await begin(world)
    const input = JSON.parse(`${'['.repeat(999)}${']'.repeat(999)}`) as unknown
    expect(await json('POST', '/trigger', { jobName: 'echo', input })).toMatchObject([200, {}])
    const [run] = await jobs.echo.getRuns()
    await world.settle()
    const [, answer] = await json('GET', `/run?runId=${run?.id}`)
    expect(JSON.stringify((answer as { output: unknown }).output)).toBe(JSON.stringify(input))
  })

  const doubling = (levels: number): unknown[] => [
    { jobName: 1, input: 2 },
    'echo',
    ...Array.from({ length: levels }, (_, i) => [i + 3, i + 3]),
    'x',
  ]
  // As devalue writes it: should that become another form one day, the bound has to know it.
  const holes = (length: number): unknown[] => {
    const array: unknown[] = []
    array[length - 1] = 0
    return array
  }
  const cycle = Array.from({ length: 14 }, (_, i) => i + 2)
  test.each([
    ['parts that double at each level', doubling(40)],
    [
      'parts of a cycle that all lead to all',
      [{ jobName: 1, input: 2 }, 'echo', ...cycle.map(() => cycle)],
    ],
    [
      'an array of holes',
      JSON.parse(stringify({ jobName: 'names', input: holes(2_000_000) })) as unknown[],
    ],
    [
      'a part with its value in it',
      [{ jobName: 1, input: 2 }, 'echo', ['Json', [3, 3]], 'x'.repeat(600_000)],
    ],
  ])('a small body that says much is refused before it is decoded: %s', async (_, value) => {
    const world = await open()
    const { json, jobs } = await begin(world)
    const rich = { 'content-type': RICH_TYPE }
    const refused = [
      413,
      {
        error: {
          code: 'too-large',
          message: expect.stringMatching(/^the body must be at most 1048576 bytes, also/) as string,
        },
      },
    ]
    expect(await json('POST', '/trigger', { format: 'rich', value }, rich)).toEqual(refused)
    // As the app's own codec stores it: nobody else is to say what that decodes.
    const stored = { format: 'codec', value: JSON.stringify(value) }
    expect(await json('POST', '/trigger', stored, rich)).toMatchObject([
      400,
      { error: { message: "the body is not valid: Nothing is sent as 'codec'" } },
    ])
    const few = stringify({ jobName: 'echo', input: holes(10_000) })
    const sparse = JSON.parse(few) as unknown
    expect(await json('POST', '/trigger', { format: 'rich', value: sparse }, rich)).toMatchObject([
      200,
      {},
    ])
    expect(await jobs.echo.getRuns()).toHaveLength(1)
  })
})
