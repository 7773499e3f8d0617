import { expect, test } from 'vitest'
import { createWaits } from '../../src/engine/waits.ts'
import { createMemoryStore } from '../../src/store/memory.ts'
import type { Message } from '../../src/store/store.ts'
import { createVirtualTime } from '../../src/testing/virtual-time.ts'

const MANY = 1000

test('a wait that opens costs the same whatever else is open, and each ends in its time', async () => {
  const time = createVirtualTime(0)
  const virtual = time.createEnv()
  let looks = 0
  const env = {
    ...virtual,
    now() {
      looks++
      return virtual.now()
    },
  }
  const waits = createWaits({
    run: { id: 'run', inbox: 0 },
    store: createMemoryStore(),
    env,
    onSettled: () => {},
    onError: (error) => expect.unreachable(String(error)),
  })
  const ended: number[] = []
  for (let index = 0; index < MANY; index++) {
    // The last that opens is the first to end.
    const until = MANY - index
    waits.open({
      name: `wait ${index}`,
      index,
      sources: [{ kind: 'sleep', name: `wait ${index}`, until }],
      end: () => void ended.push(time.now()),
    })
  }
  expect(looks).toBeLessThan(10 * MANY)
  expect(virtual.timers()).toBe(1)
  expect(waits.nextTime()).toBe(1)
  await time.advance(MANY)
  expect(ended).toEqual(Array.from({ length: MANY }, (_, i) => i + 1))
  expect(virtual.timers()).toBe(0)
})

/** Waits of a run whose mailbox has what the test puts there. */
function createRunWaits() {
  const time = createVirtualTime(0)
  const box = { inbox: 0, messages: [] as Message[] }
  const waits = createWaits({
    run: { id: 'run', inbox: 0 },
    store: { mailbox: async () => ({ ...box, messages: [...box.messages] }) },
    env: time.createEnv(),
    onSettled: () => {},
    onError: (error) => expect.unreachable(String(error)),
  })
  const heard: string[] = []
  const open = (name: string, since: number): void =>
    waits.open({
      name,
      index: 0,
      sources: [{ kind: 'run', name: 'child', until: null, since }],
      end: (_source, message, first) => void heard.push(`${name} ${message?.seq} ${first}`),
    })
  const tell = async (): Promise<void> => {
    box.inbox++
    const data = { format: 'json', text: '{}' } as const
    box.messages.push({ seq: box.inbox, kind: 'run', name: 'child', data })
    waits.mail(box.inbox)
    await time.settle()
  }
  return { waits, box, heard, open, tell, settle: time.settle }
}

test('the end of a run is for all that are open, and for one that has begun to wait meanwhile', async () => {
  const { waits, box, heard, open, tell, settle } = createRunWaits()
  open('a', 0)
  open('b', 0)
  const release = waits.begin(['child'])
  await tell()
  expect(heard).toEqual(['a 1 true', 'b 1 false'])
  // It is consumed by the time that the third is opened, and looks into the mailbox once more.
  box.messages = []
  waits.check()
  open('c', 0)
  release()
  await settle()
  expect(heard).toEqual(['a 1 true', 'b 1 false', 'c 1 false'])
})

test('an end that was told before a wait for the run was asked for is not for it, and is not kept', async () => {
  const { waits, heard, open, tell } = createRunWaits()
  open('a', 0)
  const release = waits.begin(['child'])
  await tell()
  open('late', 1)
  release()
  await tell()
  expect(heard).toEqual(['a 1 true', 'late 2 true'])
  // Nobody had begun to wait when it was taken.
  open('later', 0)
  expect(heard).toHaveLength(2)
})
