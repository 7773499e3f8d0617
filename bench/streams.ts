import { fork } from 'node:child_process'
import { once } from 'node:events'
import { createServer, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { createDurably, createDurablyHandler, defineJob } from '@coji/durably'
import { toNodeHandler } from '@coji/durably/node'
import { z } from 'zod'
import type { Database } from './databases.ts'
import { now, ticking } from './jobs.ts'
import { ms, print } from './report.ts'
import { percentile } from './rounds.ts'
import type { Order, Report } from './stream-clients.ts'

const CLIENTS = 1000
const CYCLES = 10_000
const STEPS = 50

const waiting = defineJob({
  name: 'waiting',
  input: z.unknown(),
  run: async (step) => step.waitForSignal('never'),
})

/** What clients of event streams cost a server in this process, and how soon they hear. */
export async function measureStreams(database: Database): Promise<void> {
  const durably = createDurably({ dialect: database.dialect(), jobs: { ticking, waiting } })
  await durably.init()
  const raw = createRawStreams()
  const handle = toNodeHandler(createDurablyHandler(durably), '/api')
  const server = createServer((request, response) => {
    if (request.url === '/raw') raw.add(response)
    else handle(request, response)
  })
  await new Promise<void>((resolve) => void server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  const child = fork(new URL('stream-clients.ts', import.meta.url))
  const order = async (what: Order): Promise<Report> => {
    const done = once(child, 'message')
    child.send(what)
    const [report] = (await done) as [Report]
    return report
  }
  const { id } = await durably.jobs.waiting.trigger(null)
  const path = `/api/subscribe?runId=${id}`
  const open = { kind: 'open', port, path, count: CLIENTS } as const

  // Once beforehand: what is loaded and compiled at first use is no client's.
  await order(open)
  await order({ kind: 'close' })
  const idle = await memory()
  await order(open)
  show('memory of a client', database, ((await memory()) - idle) / CLIENTS / 1024, 20, 'KB')
  await order({ kind: 'close' })

  const timersBefore = timers()
  const before = await memory()
  await order({ kind: 'cycle', port, path, count: CYCLES })
  const grown = ((await memory()) - before) / 1024
  show(`memory after ${CYCLES} connections`, database, grown, 500, 'KB')
  show('timers left', database, Math.max(0, timers() - timersBefore), 0, '')

  const run = await durably.jobs.ticking.trigger({ steps: STEPS, pause: 100 }, { delay: '3s' })
  await order({ ...open, path: `/api/subscribe?runId=${run.id}` })
  await durably.waitForRun(run.id)
  await sleep(200)
  const { delays } = await order({ kind: 'close' })
  await order({ ...open, path: '/raw' })
  await raw.send()
  const { delays: rawDelays } = await order({ kind: 'close' })
  if (delays.length !== CLIENTS * STEPS) throw new Error(`${delays.length} events arrived`)
  for (const share of [0.5, 0.99]) {
    const control = `raw ${ms(percentile(rawDelays, share))}`
    const measure = `step to client, p${share * 100}`
    show(measure, database, percentile(delays, share), 50, 'ms', control)
  }

  child.kill()
  server.closeAllConnections()
  server.close()
  await durably.cancel(id)
  await durably.close()
}

/** The control: the same text to as many clients, in a loop, with no database. */
function createRawStreams() {
  const responses: ServerResponse[] = []
  return {
    add(response: ServerResponse): void {
      response.writeHead(200, { 'content-type': 'text/event-stream' }).write(': hello\n\n')
      responses.push(response)
    },
    async send(): Promise<void> {
      for (let i = 0; i < STEPS; i++) {
        await sleep(100)
        const output = now()
        const text = `id: ${i}\ndata: {"output":${output},"padding":"${'x'.repeat(180)}"}\n\n`
        for (const response of responses) response.write(text)
      }
      await sleep(200)
    },
  }
}

setFlagsFromString('--expose-gc')
const collect = runInNewContext('gc') as () => void

/** Bytes in use, once what nobody uses is gone. */
async function memory(): Promise<number> {
  for (let i = 0; i < 4; i++) {
    await sleep(150)
    collect()
  }
  const { heapUsed, external } = process.memoryUsage()
  return heapUsed + external
}

function timers(): number {
  return process.getActiveResourcesInfo().filter((kind) => kind === 'Timeout').length
}

function show(
  measure: string,
  database: Database,
  value: number,
  bar: number,
  unit: string,
  control = '',
): void {
  const figure = unit === 'ms' ? ms(value) : `${value.toFixed(1)} ${unit}`
  print({
    measure,
    database: database.name,
    figure,
    control,
    value,
    bar,
    must: 'stay below',
  })
}
