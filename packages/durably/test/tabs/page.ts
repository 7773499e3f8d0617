import { SQLocalKysely } from 'sqlocal/kysely'
import { z } from 'zod'
import { sqlocalDialect, workInOneTab } from '../../src/browser.ts'
import { createDurably, defineJob } from '../../src/index.ts'

// What the address says: the tab's name, its database, whether it stops in the middle of the job, whether it waits to
// be woken, and whether the page, or Durably, fails when the work comes to it.
const query = new URLSearchParams(location.search)
const by = query.get('tab') ?? 'nobody'
const path = query.get('db') ?? 'tabs.db'
const never = new Promise<never>(() => {})

const relay = defineJob({
  name: 'relay',
  input: z.object({}),
  run: async (step) => [
    await step.run('first', () => by),
    await step.run('second', () => (query.has('hangs') ? never : by)),
  ],
})

const client = new SQLocalKysely(path)
const durably = createDurably({
  dialect: sqlocalDialect({ client }),
  jobs: { relay },
  pollingInterval: query.has('waits') ? '1h' : '250ms',
  heartbeatInterval: '500ms',
  staleThreshold: '2s',
})

/** What the test asks of a page. */
const page = { client, durably, relay: durably.jobs.relay, open, storage }

async function open() {
  const worker = query.has('breaks') ? { ...durably, start } : durably
  const tab = await workInOneTab(worker, { name: path, ...(query.has('fails') ? { onWork } : {}) })
  return Object.assign(page, { tab })
}

function start(): never {
  throw new Error('the worker does not start')
}

function onWork(): void {
  throw new Error('the page is broken')
}

/** What `migrate()` says of the storage. */
async function storage(): Promise<string> {
  return durably.migrate().then(
    () => 'ready',
    (error: Error) => `${error.name}: ${error.message}`,
  )
}

export type Page = typeof page & { readonly tab: Awaited<ReturnType<typeof workInOneTab>> }

Object.assign(globalThis, { page })
