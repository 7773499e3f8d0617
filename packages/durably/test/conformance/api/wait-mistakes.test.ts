import { describe, expect, test } from 'vitest'
import { wait } from '../../../src/core/wait.ts'
import { begin } from './waiting-run.ts'
import { job, knowsWhoseCodeRuns, onEveryBackend } from './world.ts'

type Mistake = [what: string, run: Parameters<typeof job>[0], message: RegExp]

/** Nobody can tell where it is not known whose code runs. */
function insideSteps(): Mistake[] {
  if (!knowsWhoseCodeRuns) return []
  return [
    [
      'a wait inside a step',
      (step) => step.run('outer', () => step.sleep('inner', 1)),
      /sleep "inner" was called inside the function of step "outer"/,
    ],
  ]
}

onEveryBackend((open) => {
  describe('mistakes are told at once', () => {
    test.each<Mistake>([
      ['a negative time', (step) => step.sleep('s', -1), /duration of sleep "s" must be.*got -1/],
      [
        'a time that no date can have',
        (step) => step.sleep('s', 8.64e15),
        /duration of sleep "s" must be/,
      ],
      [
        'no date',
        (step) => step.sleepUntil('s', new Date('no')),
        /date of sleep "s" must be a valid/,
      ],
      [
        'two waits of one name',
        (step) => Promise.all([step.sleep('s', 1), step.sleep('s', 2)]),
        /"s" was already called/,
      ],
      [
        'a wait and a step of one name',
        async (step) => [await step.run('s', () => 1), await step.sleep('s', 1)],
        /"s" was already called/,
      ],
      ...insideSteps(),
      ['no branches', (step) => step.waitAny('w', {}), /there are none/],
      [
        'a branch that is none',
        (step) => step.waitAny('w', { x: 3 as never }),
        /"x" must be made with wait/,
      ],
      [
        'a signal twice',
        (step) => step.waitAny('w', { a: wait.signal('s'), b: wait.signal('s') }),
        /"a" and "b" wait for the same signal/,
      ],
      [
        'a bad timeout',
        (step) => step.waitForSignal('s', { timeout: '3 days' as never }),
        /timeout of signal "s" must be/,
      ],
      [
        'a bad retry',
        (step) => step.run('s', () => 1, { retry: { attempts: 0 } }),
        /retry of step "s".attempts/,
      ],
      [
        'an unknown part of retry',
        (step) => step.run('s', () => 1, { retry: { times: 3 } as never }),
        /unknown option "times"/,
      ],
      [
        'a timeout of nothing',
        (step) => step.run('s', () => 1, { timeout: 0 }),
        /timeout of step "s" must be at least 1 ms/,
      ],
    ])('%s', async (_what, run, message) => {
      const world = await open()
      const { durably, id } = await begin(world, job(run))
      expect(await durably.getRun(id)).toMatchObject({
        status: 'failed',
        error: expect.stringMatching(message) as string,
      })
    })
  })
})
