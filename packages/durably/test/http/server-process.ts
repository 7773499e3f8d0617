import { createServer } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'
import { z } from 'zod'
import { createDurably, createDurablyHandler, defineJob } from '../../src/index.ts'
import { toNodeHandler } from '../../src/node.ts'
import { sqliteDialect, type SqliteDatabase } from '../../src/sqlite.ts'

// A server as an app has it, on whichever runtime executes this: the module that opens databases, file, port.
const [module = '', file = '', port = '0'] = process.argv.slice(2)
const BASE = '/api'

const count = defineJob({
  name: 'count',
  input: z.object({ to: z.number() }),
  async run(step, { to }) {
    for (let i = 1; i <= to; i++) {
      await step.run(`step ${i}`, () => sleep(40))
      step.progress(i, to)
    }
    return new Date(0)
  },
})

type Open = new (file: string) => SqliteDatabase
const opened = (await import(module)) as { DatabaseSync?: Open; Database?: Open }
const SQLite = (opened.DatabaseSync ?? opened.Database) as Open

const durably = createDurably({
  dialect: sqliteDialect({ database: new SQLite(file) }),
  jobs: { count },
  heartbeatInterval: 100,
  staleThreshold: 300,
  pollingInterval: 50,
})
/** For the types of a client. */
export type CountingServer = typeof durably

await durably.init()
const handler = createDurablyHandler(durably)
const fetch = (request: Request): Promise<Response> => handler.handle(request, BASE)

const { Bun, Deno } = globalThis as {
  Bun?: { serve(options: object): { readonly port: number } }
  Deno?: { serve(options: object, fetch: (request: Request) => Promise<Response>): unknown }
}
if (Bun !== undefined) {
  const server = Bun.serve({ port: Number(port), hostname: '127.0.0.1', idleTimeout: 60, fetch })
  say(server.port)
} else if (Deno !== undefined) {
  const onListen = (address: { port: number }): void => say(address.port)
  Deno.serve({ port: Number(port), hostname: '127.0.0.1', onListen }, fetch)
} else {
  const server = createServer(toNodeHandler(handler, BASE))
  server.listen(Number(port), '127.0.0.1', () => {
    say((server.address() as { port: number }).port)
  })
}

function say(listening: number): void {
  process.stdout.write(`listening on ${listening}\n`)
}
