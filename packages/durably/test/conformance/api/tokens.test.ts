import { describe, expect, test } from 'vitest'
import { z } from 'zod'
import { ConflictError, NotFoundError } from '../../../src/core/error.ts'
import { wait, type Token } from '../../../src/core/wait.ts'
import { begin, MINUTE } from './waiting-run.ts'
import { job, onEveryBackend } from './world.ts'

async function refusalOf(call: Promise<unknown>): Promise<string> {
  return String(await call.catch((error: unknown) => error))
}

onEveryBackend((open) => {
  describe('a token', () => {
    test('completes its wait once, with a value; its text stands nowhere where people see it', async () => {
      const world = await open()
      let sent: Token<unknown> = ''
      const asker = job(async (step) => {
        const token = await step.token('approval')
        await step.run('mail', () => {
          sent = token
        })
        return step.waitForToken('approved', token)
      })
      const { durably, id, events } = await begin(world, asker)
      expect(await durably.getRun(id)).toMatchObject({
        status: 'waiting',
        waitingFor: [{ kind: 'token', name: 'approval', until: null }],
      })
      const shown = JSON.stringify([events, await durably.getSteps(id), await durably.getRun(id)])
      expect(shown).not.toContain(sent)
      await expect(world.until(durably.completeToken('guess', 1))).rejects.toThrow(NotFoundError)
      await world.until(durably.completeToken(sent, { ok: true }))
      await expect(world.until(durably.completeToken(sent, 2))).rejects.toThrow(ConflictError)
      await world.advance(60)
      expect(await durably.getRun(id)).toMatchObject({ output: { ok: true } })
    })

    test('that expires ends its wait with null, and is refused from then on', async () => {
      const world = await open()
      let sent: Token<unknown> = ''
      const asker = job(async (step) => {
        sent = await step.token('approval', { timeout: '1m' })
        const value = await step.waitForToken('approved', sent)
        await step.sleep('pause', '1m')
        return value
      })
      const { durably, id } = await begin(world, asker)
      await world.advance(MINUTE + 100)
      await expect(world.until(durably.completeToken(sent, 1))).rejects.toThrow('has expired')
      await world.advance(MINUTE + 100)
      expect(await durably.getRun(id)).toMatchObject({ status: 'completed', output: null })
    })

    test('is waited for until a wait takes its value; another wait would never end, and is refused', async () => {
      const world = await open()
      let sent: Token<unknown> = ''
      const asker = job(async (step) => {
        const token = await step.token('approval')
        await step.run('mail', () => {
          sent = token
        })
        const late = await step.waitAny('soon', { token: wait.token(token), late: wait.for('1m') })
        const open = step.waitAny('again', { token: wait.token(token) })
        const beside = await refusalOf(step.waitForToken('beside', token))
        const taken = await open
        const after = await refusalOf(step.waitForToken('once more', token))
        return [late.key, taken.value, beside, after]
      })
      const { durably, id } = await begin(world, asker)
      await world.advance(MINUTE + 100)
      await world.until(durably.completeToken(sent, 7))
      expect(await world.until(durably.waitForRun(id))).toMatchObject({
        output: [
          'late',
          7,
          'ConflictError: What token "approval" is completed with goes to the wait "again": use what that returns',
          'ConflictError: What token "approval" is completed with goes to the wait "again": use what that returns',
        ],
      })
    })

    test('that was completed with what its schema does not want is no longer waited for', async () => {
      const world = await open()
      let sent: Token<unknown> = ''
      const asker = job(async (step) => {
        sent = await step.token('approval', { schema: z.number() })
        const first = await refusalOf(step.waitForToken('approved', sent))
        return [first, await refusalOf(step.waitForToken('again', sent))]
      })
      const { durably, id } = await begin(world, asker)
      await world.until(durably.completeToken(sent, 'seven'))
      expect(await world.until(durably.waitForRun(id))).toMatchObject({
        output: [
          expect.stringContaining('ValidationError: Invalid value of token "approval"') as string,
          'ConflictError: What token "approval" is completed with goes to the wait "approved": use what that returns',
        ],
      })
    })

    test('that its schema refuses beside other things is used up all the same, also after a crash', async () => {
      const world = await open()
      let sent: Token<unknown> = ''
      const asker = job(async (step) => {
        sent = await step.token('approval', { schema: z.number() })
        const branches = { other: wait.signal('other'), token: wait.token(sent) }
        const first = await refusalOf(step.waitAny('approved', branches))
        await step.sleep('pause', '1m')
        return [first, await refusalOf(step.waitForToken('again', sent))]
      })
      const { durably, crash, id } = await begin(world, asker)
      await world.until(durably.completeToken(sent, 'seven'))
      await world.advance(60)
      crash()
      const next = await world.work({ job: asker })
      await world.advance(MINUTE + 1100)
      expect(await world.until(next.durably.waitForRun(id))).toMatchObject({
        output: [
          expect.stringContaining('ValidationError: Invalid value of token "approval"') as string,
          'ConflictError: What token "approval" is completed with goes to the wait "approved": use what that returns',
        ],
      })
    })

    test('is free again for another wait where that of a name in use was refused', async () => {
      const world = await open()
      let sent: Token<unknown> = ''
      const asker = job(async (step) => {
        sent = await step.token('approval')
        const refused = await refusalOf(step.waitForToken('approval', sent))
        return [refused.slice(0, 18), await step.waitForToken('approved', sent)]
      })
      const { durably, id } = await begin(world, asker)
      await world.until(durably.completeToken(sent, 7))
      expect(await world.until(durably.waitForRun(id))).toMatchObject({
        output: ['DuplicateStepError', 7],
      })
    })

    test('of another run is refused', async () => {
      const world = await open()
      const asker = job((step) => step.waitForToken('approved', 'somebody else’s'))
      const { durably, id } = await begin(world, asker)
      expect(await durably.getRun(id)).toMatchObject({
        status: 'failed',
        error: expect.stringContaining('tokens of its own only') as string,
      })
    })

    test('stays the same over a crash', async () => {
      const world = await open()
      const seen = new Set<string>()
      const asker = job(async (step) => {
        const token = await step.token<number>('approval', { schema: z.number() })
        seen.add(token)
        return (await step.waitForToken('approved', token)) + 1
      })
      const { crash, id } = await begin(world, asker)
      crash()
      const { durably } = await world.work({ job: asker })
      const [token = ''] = seen
      await world.until(durably.completeToken(token, 4))
      await world.advance(1100)
      expect(await durably.getRun(id)).toMatchObject({ output: 5 })
      expect(seen.size).toBe(1)
    })
  })
})
