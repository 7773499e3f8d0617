import { createServer } from 'node:http'
import { createDurably, ConflictError, NotFoundError, ValidationError } from '@coji/durably'
import { sqliteDialect } from '@coji/durably/sqlite'
import Database from 'better-sqlite3'
import { createExpenseApproval, type Office } from './job.ts'

// Mails are printed, and the links in them work while this runs. Stop it and start it again: the run goes on.
const port = Number(process.env.PORT ?? 8080)
const address = `http://localhost:${port}`
const office: Office = {
  mail: async (to, text) => console.log(`mail to ${to}: ${text}`),
  pay: async (employee, amount) => console.log(`paid ${amount} € to ${employee}`),
}

const approval = createExpenseApproval(office, (token) => `${address}/approve/${token}`)
const durably = createDurably({
  dialect: sqliteDialect({ database: new Database('expenses.db') }),
  jobs: { approval },
})
await durably.init()
durably.on('run:complete', ({ output }) => console.log(`the expense is ${String(output)}`))

const server = createServer((request, response) => {
  const answered = answer(request.url ?? '/').catch(refuse)
  void answered.then(([status, text]) => {
    response.writeHead(status, { 'content-type': 'text/plain; charset=utf-8' }).end(`${text}\n`)
  })
})
server.listen(port, () => console.log(`${address}/ask?employee=Ada&amount=40 begins one`))
process.once('SIGINT', () => {
  server.close()
  void durably.close()
})

type Answer = [status: number, text: string]

async function answer(path: string): Promise<Answer> {
  const { pathname, searchParams } = new URL(path, address)
  const [, action, token] = pathname.split('/')
  if (action === 'ask') {
    const employee = searchParams.get('employee') ?? 'Ada'
    const { id } = await durably.jobs.approval.trigger({
      employee,
      amount: Number(searchParams.get('amount')),
    })
    return [200, `Asked. ${address}/cancel/${id} takes it back.`]
  }
  if (action === 'approve' && token !== undefined) {
    await durably.completeToken(token, { approved: true, by: 'the manager' })
    return [200, 'Approved.']
  }
  if (action === 'cancel' && token !== undefined) {
    await durably.signal(token, 'cancel', { reason: 'on request' })
    return [200, 'Cancelled.']
  }
  return [404, 'There is /ask, /approve/:token and /cancel/:run.']
}

/** Whoever asks is told what is wrong with it; what else breaks must not end the server. */
function refuse(error: unknown): Answer {
  if (error instanceof ValidationError) return [400, error.message]
  if (error instanceof NotFoundError) return [404, error.message]
  if (error instanceof ConflictError) return [409, error.message]
  console.error(error)
  return [500, 'That did not work.']
}
