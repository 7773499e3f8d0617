import { expect, test } from 'vitest'
import { begin, MINUTE } from './waiting-run.ts'
import { job, onEveryBackend } from './world.ts'

const HOUR = 60 * MINUTE

onEveryBackend((open) => {
  test.each([
    ['kept in memory', false],
    ['replayed', true],
  ])('a run that sleeps is woken once by a clock that is ahead, its code %s', async (_, dies) => {
    const world = await open()
    const sleeper = job(async (step) => {
      await step.sleep('s', '10s')
      await step.sleep('t', '10s')
    })
    const first = await begin(world, sleeper)
    if (dies) first.crash()
    const ahead = await world.join()
    ahead.setAhead(7000)
    await ahead.durably.init()
    if (dies) await world.work({ job: sleeper })
    await world.advance(25_000)
    expect(await ahead.durably.getRun(first.id)).toMatchObject({ status: 'completed' })
    const wakes = ahead.events.filter(({ type }) => type === 'run:wake')
    expect(wakes.length).toBeLessThanOrEqual(2)
  })

  test('a clock that is set back keeps no worker from renewing its lease, nor from looking', async () => {
    const world = await open()
    const executing = job(() => new Promise<void>(() => {}))
    const { crash, wire, setAhead } = await begin(world, executing)
    setAhead(-HOUR)
    const before = wire.calls.get('renew') ?? 0
    await world.advance(MINUTE)
    expect((wire.calls.get('renew') ?? 0) - before).toBeGreaterThanOrEqual(10)
    crash()

    const { durably, setAhead: set } = await world.work({ quick: job(() => 'done', 'quick') })
    await world.advance(100)
    set(-HOUR)
    const client = await world.join()
    client.setAhead(-HOUR)
    const { quick } = client.durably.register({ quick: job(() => 'done', 'quick') })
    const { id } = await world.until(quick.trigger(null))
    await world.advance(2000)
    expect(await durably.getRun(id)).toMatchObject({ status: 'completed' })
  })
})
