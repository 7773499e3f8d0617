import { createDurably, type RunOf } from '@coji/durably'
import { sqlocalDialect, workInOneTab, type Tab } from '@coji/durably/browser'
import { SQLocalKysely } from 'sqlocal/kysely'
import { createDevelop } from '../jobs/develop.ts'
import { createPlates } from '../jobs/plates.ts'

const name = 'darkroom.db'

const durably = createDurably({
  dialect: sqlocalDialect({ client: new SQLocalKysely(name) }),
  maxConcurrentRuns: 2,
  // One tab works: it takes up at once what the one before left.
  workerName: 'tab',
  // Each reload in the middle of a step counts as one.
  maxCrashes: 100,
})

export const plates = createPlates(durably.db)
export const develop = createDevelop(plates)
durably.register({ develop })

export type Developing = RunOf<typeof develop>

const listeners = new Set<() => void>()
let isWorking = false

/** Whether the work is this tab's, as `useSyncExternalStore` wants it. */
export const work = {
  isHere: () => isWorking,
  subscribe(listener: () => void) {
    listeners.add(listener)
    return () => void listeners.delete(listener)
  },
}

function onWork(): void {
  isWorking = true
  for (const listener of listeners) listener()
}

async function open(): Promise<Tab> {
  await plates.createTables()
  return workInOneTab(durably, { name, onWork })
}

export const tab = open()

/** Rejects when this browser or this page cannot have a darkroom, and says why. */
export const opened = tab.then(() => durably)
