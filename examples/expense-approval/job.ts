import { defineJob, wait, type Duration } from '@coji/durably'
import { z } from 'zod'

/** The world outside: each mail has a key that is the same when it is sent again. */
export interface Office {
  mail(to: string, text: string, key: string): Promise<void>
  pay(employee: string, amount: number, key: string): Promise<void>
}

const decision = z.object({ approved: z.boolean(), by: z.string() })

const DAYS: readonly Duration[] = ['1d', '2d', '4d']

/**
 * An expense waits for an approval: the manager gets a link, a reminder after a day, the director after three. Who
 * has asked for the money may cancel. After a week it is refused.
 */
export function createExpenseApproval(office: Office, linkOf: (token: string) => string) {
  return defineJob({
    name: 'expense-approval',
    input: z.object({ employee: z.string(), amount: z.number() }),
    signals: { cancel: z.object({ reason: z.string() }) },
    retry: { attempts: 5, delay: '2s' },
    run: async (step, { employee, amount }) => {
      const token = await step.token('approval', { schema: decision })
      const mails = [
        { to: 'manager', text: `${employee} asks for ${amount} €: ${linkOf(token)}` },
        { to: 'manager', text: `${employee} still waits: ${linkOf(token)}` },
        { to: 'director', text: `The manager does not answer. ${linkOf(token)}` },
      ]
      for (const [i, { to, text }] of mails.entries()) {
        await step.run(`mail ${i + 1}`, (_, info) => office.mail(to, text, info.idempotencyKey))
        const first = await step.waitAny(`answer ${i + 1}`, {
          decided: wait.token(token),
          cancelled: wait.signal<{ reason: string }>('cancel'),
          late: wait.for(DAYS[i] ?? '1d'),
        })
        if (first.key === 'cancelled') return `cancelled: ${first.value.reason}`
        if (first.key === 'late') continue
        if (!first.value.approved) return `refused by ${first.value.by}`
        await step.run('pay', (_, info) => office.pay(employee, amount, info.idempotencyKey))
        return `approved by ${first.value.by}`
      }
      return 'refused: nobody answered'
    },
  })
}
