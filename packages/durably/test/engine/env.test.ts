import { expect, onTestFinished, test, vi } from 'vitest'
import { createEnv } from '../../src/env.ts'

test('a timer that is late already fires at once, and nobody is warned', async () => {
  const warnings: string[] = []
  const warned = ({ name }: Error): void => void warnings.push(name)
  process.on('warning', warned)
  onTestFinished(() => void process.off('warning', warned))
  const env = createEnv()
  await new Promise<void>((resolve) => {
    env.after(-1, resolve)
  })
  await new Promise<void>((resolve) => env.turn(resolve))
  expect(warnings).toEqual([])
})

test('a clock that is set ahead, as by a sleep of the machine, counts; one that is set back does not', () => {
  const real = Date.now
  let ahead = 0
  const spy = vi.spyOn(Date, 'now').mockImplementation(() => real() + ahead)
  onTestFinished(() => spy.mockRestore())
  const { elapsed } = createEnv()
  const before = elapsed()
  ahead = 60_000
  const asleep = elapsed() - before
  expect(asleep).toBeGreaterThanOrEqual(59_990)
  expect(asleep).toBeLessThan(65_000)
  ahead = -3_600_000
  const setBack = elapsed() - before
  expect(setBack).toBeGreaterThanOrEqual(asleep)
  expect(setBack).toBeLessThan(65_000)
  ahead += 30_000
  const asleepAgain = elapsed() - before
  expect(asleepAgain - setBack).toBeGreaterThanOrEqual(29_990)
  expect(asleepAgain - setBack).toBeLessThan(35_000)
})
