import { DurablyProvider } from '../src/index.ts'
import { StrictMode, type ReactNode } from 'react'
import { onTestFinished } from 'vitest'
import { render } from 'vitest-browser-react'
import { z } from 'zod'
import { createDurablyClient, type Client } from '@coji/durably/client'
import { createDurablyHandler, defineJob } from '@coji/durably'
import { assemble } from '../../durably/src/durably.ts'
import { createEnv } from '../../durably/src/env.ts'
import { createMemoryStore } from '../../durably/src/store/memory.ts'

export const add = defineJob({
  name: 'add-numbers',
  input: z.object({ a: z.number(), b: z.number() }),
  output: z.number(),
  run: async (step, { a, b }) => {
    step.log.info(`adding ${a} and ${b}`)
    step.progress(1, 2)
    await step.waitForSignal('go')
    step.progress(2, 2)
    return a + b
  },
})
export const fails = defineJob({
  name: 'fails',
  input: z.unknown(),
  run: () => {
    throw new Error('out of ink')
  },
})
const recites = defineJob({
  name: 'recites',
  input: z.unknown(),
  run: (step) =>
    step.run('recite', async (_, { stream }) => {
      const writer = stream<string>('words').getWriter()
      for (const word of ['to', 'be']) await writer.write(word)
      await writer.close()
    }),
})

/** An instance in the page, that works. */
export function openInstance() {
  const durably = assemble(createMemoryStore(), createEnv(), {
    jobs: { add, fails, recites },
    maxConcurrentRuns: 10,
  })
  durably.start()
  onTestFinished(() => durably.stop({ timeout: 0 }))
  return durably
}

type InPage = ReturnType<typeof openInstance>

/** What a provider may be given. */
export const clients: Readonly<Record<string, (durably: InPage) => Client>> = {
  'an instance in the page': (durably) => durably,
  'a client over HTTP'(durably) {
    const handler = createDurablyHandler(durably)
    return createDurablyClient({
      api: 'http://app.test/api',
      fetch: (input, init) => handler.handle(new Request(input, init), '/api'),
    })
  },
}

/** Shows `children` as an app in development does: mounted, taken away, and mounted again. */
export function show(durably: Client | Promise<Client>, children: ReactNode) {
  return render(
    <StrictMode>
      <DurablyProvider durably={durably} fallback="opening">
        {children}
      </DurablyProvider>
    </StrictMode>,
  )
}
