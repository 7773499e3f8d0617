import { expect, test } from 'vitest'
import { job, onEveryBackend } from './world.ts'

onEveryBackend((open) => {
  test('a step gives what its function returned', async () => {
    const world = await open()
    const double = job((step) => step.run('double', () => 42))
    const { jobs } = await world.work({ double })
    const { output } = await jobs.double.triggerAndWait(null)
    expect(output).toBe(42)
  })
})
