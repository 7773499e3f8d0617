import { expect, onTestFinished, test } from 'vitest'
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
