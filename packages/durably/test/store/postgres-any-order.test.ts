import { expect, test } from 'vitest'
import type { Claim, Commit, NewRun, Send, Store } from '../../src/store/store.ts'
import {
  act,
  claim,
  ending,
  newRun,
  newSend,
  nothing,
  parking,
  reclaim,
  SECOND,
  START,
  waitFor,
} from '../conformance/store/scenario.ts'
import { createRandom, type Random } from '../simulation/random.ts'
import { openSchema, recorded } from './postgres-schema.ts'

// DURABLY_TEST_SECONDS asks for a longer search.
const SECONDS = Number(process.env.DURABLY_TEST_SECONDS ?? 5)
const POOLS = 3
const CLIENTS_OF_EACH = 3
/** All do something to the runs that were made last. */
const RECENT = 8

test(
  'whatever many do to the same few runs at once, there is no deadlock and no conflict of rows',
  async () => {
    const schema = await openSchema()
    const errors: unknown[] = []
    const world: World = { made: [], done: 0 }
    const random = createRandom(Date.now())
    const until = performance.now() + SECONDS * SECOND
    const clients: Promise<void>[] = []
    for (let pool = 0; pool < POOLS; pool++) {
      const store = await schema.store(recorded(schema.pool(), errors))
      for (let i = 0; i < CLIENTS_OF_EACH; i++) {
        const name = `client ${pool} ${i}`
        clients.push(actUntil(until, { store, name, random: random.fork(name), world, held: [] }))
      }
    }
    await Promise.all(clients)
    expect(errors.filter((error) => !isLateClaim(error))).toEqual([])
    expect(world.done).toBeGreaterThan(SECONDS)
  },
  SECONDS * SECOND + 60_000,
)

/** A claim is one statement, and is sent again if it meets an entry that it did not see. */
function isLateClaim(error: unknown): boolean {
  const { code, constraint } = error as { readonly code?: string; readonly constraint?: string }
  return code === '23505' && constraint === 'durably_journal_pkey'
}

interface World {
  /** Ids of runs, in the order in which they were stored. */
  readonly made: string[]
  done: number
}

interface Client {
  readonly store: Store
  readonly name: string
  readonly random: Random
  readonly world: World
  /** What it claimed, and has given back to nobody. */
  readonly held: Claim[]
}

async function actUntil(time: number, client: Client): Promise<void> {
  while (performance.now() < time) {
    const now = START + client.world.done++
    await client.random.pick([trigger, take, write, write, send, watch, watch, end, tidy])(
      client,
      now,
    )
  }
}

async function trigger({ store, name, random, world }: Client, now: number): Promise<void> {
  const runs = several(random, 3, (i): NewRun => {
    return newRun(`${random.pick(['a', 'f', 'm', 'z'])} ${name} ${world.done} ${i}`, {
      concurrencyKey: random.chance(0.5) ? `key ${random.int(3)}` : null,
      idempotencyKey: random.chance(0.3) ? `once ${Math.floor(world.done / 20)}` : null,
      expireAt: random.chance(0.2) ? now + random.int(50) : null,
      dueAt: random.chance(0.2) ? now + random.int(50) : null,
    })
  })
  const written = await store.write({ ...nothing, runs }, now)
  world.made.push(...written.runs.map(({ run }) => run.id))
}

async function take({ store, name, random, held }: Client, now: number): Promise<void> {
  const leaseMs = random.chance(0.2) ? 0 : 60 * SECOND
  held.push(...(await claim(store, { workerId: name, limit: 1 + random.int(3), leaseMs }, now)))
}

/** Ends and parks runs, and sends to others, in one batch. */
async function write({ store, random, world, held }: Client, now: number): Promise<void> {
  const commits = held.splice(0, 1 + random.int(3)).map((claimed): Commit => {
    const wakeAt = now + random.int(40)
    const isOver = random.chance(0.5)
    if (isOver) return ending(claimed, random.pick(['complete', 'fail']))
    return parking(claimed, { waits: [waitFor('signal', 'go')], wakeAt })
  })
  const sends = random.chance(0.5) ? letters(random, world) : []
  if (commits.length + sends.length > 0) await store.write({ ...nothing, commits, sends }, now)
}

async function send({ store, random, world }: Client, now: number): Promise<void> {
  await store.write({ ...nothing, sends: letters(random, world) }, now)
}

async function watch({ store, random, world }: Client, now: number): Promise<void> {
  await store.watch(recent(random, world), recent(random, world), now)
}

async function end({ store, random, world }: Client, now: number): Promise<void> {
  await act(store, random.pick(['cancel', 'cancel', 'retry', 'delete']), recent(random, world), now)
}

async function tidy({ store, name, random, held }: Client, now: number): Promise<void> {
  const what = random.int(3)
  if (what === 0) await store.promote(20, now)
  else if (what === 1) await store.purge({}, now - 200, 10, now)
  else {
    const request = { workerId: name, maxCrashes: 1 + random.int(3) }
    held.push(...(await reclaim(store, request, now)).claimed)
  }
}

function letters(random: Random, world: World): Send[] {
  return several(random, 4, () =>
    newSend(recent(random, world), 'go', { id: `${world.done} ${random.next()}` }),
  )
}

function recent(random: Random, { made }: World): string {
  return made[Math.max(0, made.length - 1 - random.int(RECENT))] ?? 'none'
}

function several<T>(random: Random, most: number, make: (i: number) => T): T[] {
  return Array.from({ length: 1 + random.int(most) }, (_, i) => make(i))
}
