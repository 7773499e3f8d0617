import { expect, test } from 'vitest'
import { awaits } from '../../src/core/awaits.ts'
import { richCodec } from '../../src/core/codec.ts'
import { toEvent } from '../../src/core/event.ts'
import { stepCompleteData, type Entry, type EntryKind } from '../../src/core/journal.ts'
import { stepsOf } from '../../src/core/step.ts'

const AT = Date.parse('2030-01-01T00:00:00.000Z')
const WAIT = { kind: 'signal', name: 'go', until: null } as const
const ERROR = { name: 'Error', message: 'no' }
const run = {
  id: 'run',
  jobName: 'job',
  labels: {},
  payload: { format: 'json', text: '1' },
  output: null,
} as const

let seq = 0
function entry(kind: EntryKind, name: string | null, data: unknown, at = AT): Entry {
  const text = typeof data === 'string' ? data : JSON.stringify(data)
  return { runId: 'run', generation: 1, seq: ++seq, kind, name, at, data: text }
}

function eventOf(kind: EntryKind, name: string | null, data: unknown): unknown {
  return toEvent(entry(kind, name, data), run, richCodec)
}

test('each entry of a wait is an event that says what it says', () => {
  expect(eventOf('run:wait', null, { waits: [WAIT] })).toMatchObject({
    type: 'run:wait',
    waitingFor: [WAIT],
  })
  expect(eventOf('run:wake', null, { reason: 'due' })).toMatchObject({
    type: 'run:wake',
    reason: 'due',
  })
  const step = { stepName: 'x', stepIndex: 2 }
  expect(eventOf('step:wait', 'x', { index: 2, waits: [WAIT] })).toMatchObject({
    type: 'step:wait',
    ...step,
    waitingFor: [WAIT],
  })
  const retry = { index: 2, duration: 7, error: ERROR, until: AT }
  expect(eventOf('step:retry', 'x', retry)).toMatchObject({
    type: 'step:retry',
    ...step,
    error: 'no',
    errorDetail: ERROR,
    duration: 7,
    retryAt: '2030-01-01T00:00:00.000Z',
  })
  expect(eventOf('step:cancel', 'x', { index: 2 })).toMatchObject({ type: 'step:cancel', ...step })
})

test.each<[EntryKind, string | null, unknown]>([
  ['run:wait', null, {}],
  ['run:wake', null, { reason: 1 }],
  ['step:wait', 'x', { index: 1 }],
  ['step:wait', null, { index: 1, waits: [] }],
  ['step:retry', 'x', { index: 1, duration: 1, error: ERROR, until: 1e300 }],
  ['step:cancel', 'x', {}],
])('what cannot be read of a %s is refused by name', (kind, name, data) => {
  expect(() => eventOf(kind, name, data)).toThrow(kind)
})

test('a secret is shown to nobody', () => {
  const secret = stepCompleteData(0, 1, { format: 'json', text: '"token"' }, 'token')
  const completed = entry('step:complete', 'x', secret)
  const event = toEvent(completed, run, richCodec)
  const steps = stepsOf([completed], richCodec)
  expect([event, steps]).toMatchObject([{ output: '[secret]' }, [{ output: '[secret]' }]])
  expect(JSON.stringify([event, steps])).not.toContain('token')
})

test('a step waits until its wait or its next attempt ends', () => {
  const stepOf = (entries: readonly Entry[]) => stepsOf(entries, richCodec)[0]
  const opened = entry('step:wait', 'x', { index: 0, waits: [WAIT] })
  expect(stepOf([opened])).toMatchObject({
    status: 'waiting',
    attempts: 0,
    startedAt: '2030-01-01T00:00:00.000Z',
    completedAt: null,
  })
  const ended = entry('step:complete', 'x', { index: 0, duration: 1000, output: 1 }, AT + 1000)
  expect(stepOf([opened, ended])).toMatchObject({
    status: 'completed',
    attempts: 1,
    output: 1,
    startedAt: '2030-01-01T00:00:00.000Z',
  })
  const cancelled = entry('step:cancel', 'x', { index: 0 }, AT + 1000)
  expect(stepOf([opened, cancelled])).toMatchObject({
    status: 'cancelled',
    startedAt: '2030-01-01T00:00:00.000Z',
    completedAt: '2030-01-01T00:00:01.000Z',
  })
  const retry = entry('step:retry', 'x', { index: 0, duration: 5, error: ERROR, until: AT })
  const waiting = { status: 'waiting', attempts: 2, error: 'no', completedAt: null }
  expect(stepOf([retry, retry])).toMatchObject(waiting)
})

test('a message ends the waits of its kind and name', () => {
  const nap = { kind: 'sleep', name: 'nap', until: null } as const
  expect(awaits([nap, WAIT], { kind: 'signal', name: 'go' })).toBe(true)
  expect(awaits([nap], { kind: 'wake', name: 'nap' })).toBe(true)
  expect(awaits([nap, WAIT], { kind: 'signal', name: 'nap' })).toBe(false)
  expect(awaits([], { kind: 'run', name: 'go' })).toBe(false)
  expect(awaits(null, { kind: 'token', name: 'any' })).toBe(true)
})
