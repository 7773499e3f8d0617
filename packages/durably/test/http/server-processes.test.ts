import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { EventSource } from 'eventsource'
import { describe, expect, onTestFinished, test } from 'vitest'
import { createDurablyClient } from '../../src/client.ts'
import { isTick } from '../../src/core/tick.ts'
import type { DurablyEvent } from '../../src/index.ts'
import { readAll } from '../conformance/api/read-all.ts'
import type { CountingServer } from './server-process.ts'

const script = fileURLToPath(new URL('server-process.ts', import.meta.url))
const bin = (name: string): string =>
  fileURLToPath(new URL(`../../../../node_modules/.bin/${name}`, import.meta.url))

const deno = [bin('deno'), 'run', '--quiet', '--allow-all', '--node-modules-dir=manual']

const runtimes: Readonly<Record<string, readonly string[]>> = {
  Node: [process.execPath, script, 'node:sqlite'],
  Bun: [bin('bun'), 'run', script, 'node:sqlite'],
  "Bun's own SQLite": [bin('bun'), 'run', script, 'bun:sqlite'],
  Deno: [...deno, script, 'node:sqlite'],
}

/** A file for a database, and servers on it that can be killed. */
function createPlace() {
  const folder = mkdtempSync(join(tmpdir(), 'durably-http-'))
  const children: ChildProcess[] = []
  onTestFinished(() => {
    for (const child of children) child.kill('SIGKILL')
    rmSync(folder, { recursive: true, force: true })
  })
  async function start(runtime: string, port = 0) {
    const [command = '', ...args] = runtimes[runtime] ?? []
    const child = spawn(command, [...args, join(folder, 'app.db'), String(port)], {
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    children.push(child)
    const said = Promise.withResolvers<number>()
    let text = ''
    child.stdout.on('data', (chunk: Buffer) => {
      text += String(chunk)
      const [, listening] = /listening on (\d+)/.exec(text) ?? []
      if (listening !== undefined) said.resolve(Number(listening))
    })
    child.on('exit', (code) => said.reject(new Error(`${command} ended with ${code}: ${text}`)))
    return { child, port: await said.promise }
  }
  return { start }
}

const apiOf = (port: number): string => `http://127.0.0.1:${port}/api`

const sequencesOf = (events: readonly DurablyEvent[]): number[] =>
  events.filter((event) => !isTick(event)).map(({ sequence }) => sequence)

describe.each(Object.keys(runtimes))('a server on %s', (runtime) => {
  test('executes a job and streams its events', async () => {
    const { port } = await createPlace().start(runtime)
    const client = createDurablyClient<CountingServer>({ api: apiOf(port) })
    const run = await client.jobs.count.trigger({ to: 3 })
    const events = await readAll(client.subscribe(run.id))
    expect(sequencesOf(events)).toEqual([1, 2, 3, 4, 5, 6])
    expect(events.at(-1)).toMatchObject({ type: 'run:complete', output: new Date(0) })
    expect(events).toContainEqual(
      expect.objectContaining({ type: 'run:progress', progress: { current: 3, total: 3 } }),
    )
  })
})

test('whoever watches a run sees it go on when its server is killed and comes back', async () => {
  const place = createPlace()
  const { child, port } = await place.start('Node')
  const client = createDurablyClient<CountingServer>({ api: apiOf(port) })
  const run = await client.jobs.count.trigger({ to: 20 })
  const own = readAll(client.subscribe(run.id))
  const foreign = follow(`${apiOf(port)}/subscribe?runId=${run.id}`)
  await foreign.until((facts) => facts.length > 5)
  child.kill('SIGKILL')
  await place.start('Node', port)
  const events = await own
  expect(events.at(-1)?.type).toBe('run:complete')
  expect(sequencesOf(events)).toEqual(sequencesOf(events).map((_, i) => i + 1))
  await foreign.until((facts) => facts.length === sequencesOf(events).length)
  foreign.stop()
})

test('a page on one process follows a run that another one executes', async () => {
  const place = createPlace()
  const [one, two] = [await place.start('Node'), await place.start('Node')]
  const clients = [one, two].map(({ port }) =>
    createDurablyClient<CountingServer>({ api: apiOf(port) }),
  )
  const [first, second] = clients
  if (first === undefined || second === undefined) throw new Error('two clients')
  const { id } = await first.jobs.count.trigger({ to: 5 })
  const [here, there] = await Promise.all([
    readAll(first.subscribe(id)),
    readAll(second.subscribe(id)),
  ])
  const facts = (events: readonly DurablyEvent[]) => events.filter((event) => !isTick(event))
  expect(facts(there)).toEqual(facts(here))
  expect((await second.waitForRun(id)).output).toEqual(new Date(0))
})

/** As a page without our client would. */
function follow(url: string) {
  const source = new EventSource(url)
  const positions: string[] = []
  let check = (): void => {}
  source.onmessage = ({ lastEventId }) => {
    if (positions.at(-1) !== lastEventId) positions.push(lastEventId)
    check()
  }
  onTestFinished(() => source.close())
  return {
    stop: () => source.close(),
    async until(isEnough: (positions: readonly string[]) => boolean): Promise<void> {
      await new Promise<void>((resolve) => {
        check = () => {
          if (isEnough(positions)) resolve()
        }
        check()
      })
      expect(positions).toEqual(positions.map((_, i) => String(i + 1)))
    },
  }
}
