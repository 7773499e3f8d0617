import { crashTest, createTestDurably } from '@coji/durably/testing'
import { expect, test } from 'vitest'
import { createExpenseApproval, type Office } from './job.ts'

const input = { employee: 'Ada', amount: 40 }
const link = 'https://example.com/'
const linkOf = (token: string): string => `${link}${token}`

function createOffice() {
  const mails: { to: string; text: string }[] = []
  const paid: number[] = []
  const office: Office = {
    mail: async (to, text) => void mails.push({ to, text }),
    pay: async (_, amount) => void paid.push(amount),
  }
  return { office, mails, paid }
}

/** The token of the link in a mail. */
function tokenIn(mail: { text: string } | undefined): string {
  return mail?.text.split(link)[1] ?? ''
}

function open() {
  const { office, mails, paid } = createOffice()
  const approval = createExpenseApproval(office, linkOf)
  const t = createTestDurably({ jobs: { approval } })
  return { t, approval, mails, paid }
}

test('pays what the manager approves, after a reminder', async () => {
  const { t, approval, mails, paid } = open()
  const { id, status } = await t.run(approval, input)
  expect(status).toBe('waiting')
  await t.advance('30h')
  expect(mails.map(({ to }) => to)).toEqual(['manager', 'manager'])
  await t.durably.completeToken(tokenIn(mails[1]), { approved: true, by: 'Grace' })
  await t.advance(0)
  expect(await t.durably.getRun(id)).toMatchObject({ output: 'approved by Grace' })
  expect(paid).toEqual([40])
})

test('asks the director after three days, and refuses after a week', async () => {
  const { t, approval, mails, paid } = open()
  const { id } = await t.run(approval, input)
  await t.advance('3d')
  expect(mails.map(({ to }) => to)).toEqual(['manager', 'manager', 'director'])
  await t.advance('4d')
  expect(await t.durably.getRun(id)).toMatchObject({ output: 'refused: nobody answered' })
  expect(paid).toEqual([])
})

test('is cancelled by who has asked; the link is void then', async () => {
  const { t, approval, mails } = open()
  const { id } = await t.run(approval, input)
  await t.durably.signal(id, 'cancel', { reason: 'paid by card' })
  await t.advance(0)
  expect(await t.durably.getRun(id)).toMatchObject({ output: 'cancelled: paid by card' })
  await expect(
    t.durably.completeToken(tokenIn(mails[0]), { approved: true, by: 'Grace' }),
  ).rejects.toThrow('has ended')
})

test.each([
  ['nobody answers', 'no answer'],
  ['the answer comes after the second mail', 'answer 2'],
])('survives a crash at every place when %s', async (_, answerAt) => {
  const { office, mails } = createOffice()
  const report = await crashTest(
    (effects: Office) => createExpenseApproval(effects, linkOf),
    input,
    {
      effects: office,
      reset: () => mails.splice(0),
      async answer({ waitingFor }, durably) {
        if (waitingFor?.some(({ name }) => name === answerAt) !== true) return
        await durably.completeToken(tokenIn(mails[0]), { approved: true, by: 'Grace' })
      },
    },
  )
  expect(report.toString()).toMatch(/errors 0, warnings 0/)
  expect(report.ok).toBe(true)
})
