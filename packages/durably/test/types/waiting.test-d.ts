// What the types of waiting infer and refuse. It is compiled, never run.
import { SqliteDialect } from 'kysely'
import { z } from 'zod'
import {
  createDurably,
  defineJob,
  type Durably,
  type Duration,
  wait,
  type RunEnd,
  type SignalOptions,
  type StepContext,
  type Token,
} from '../../src/index.ts'

type Equal<A, B> =
  (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false

/** Compiles only if the value is of this very type. */
function is<A>(): <B>(
  _value: B,
  ..._same: Equal<A, B> extends true ? [] : ['types differ']
) => void {
  return () => {}
}

const dialect = new SqliteDialect({ database: () => Promise.reject(new Error('never opened')) })

declare const maybe: Duration | undefined

const approval = z.object({ ok: z.boolean(), note: z.string().default('') })

const job = defineJob({
  name: 'job',
  input: z.object({}),
  signals: { approval, cancel: z.string() },
  retry: (attempt, error) => (attempt < 3 && error instanceof TypeError ? '2s' : false),
  run: async (step) => {
    const forever = await step.waitForSignal('approval')
    is<{ ok: boolean; note: string }>()(forever)
    const inTime = await step.waitForSignal('cancel', { timeout: '3d' })
    is<string | null>()(inTime)
    const perhaps = await step.waitForSignal('cancel', { timeout: maybe })
    is<string | null>()(perhaps)
    // @ts-expect-error -- it is not declared.
    await step.waitForSignal('aproval')
    // @ts-expect-error -- the data is what was declared
    const other: { wrong: number } = await step.waitForSignal('approval')
    void other
    // @ts-expect-error -- there is no such unit.
    await step.sleep('long', '3w')
    is<void>()(await step.sleep('short', '3d'))
    return forever.note
  },
})

// What a job waits for does not stand in the way of where it is used.
const durably = createDurably({ dialect, jobs: { job } })
is<string>()((await durably.jobs.job.triggerAndWait({})).output)

// The data of a signal that a job declares is typed where it is sent.
await durably.signal('id', 'approval', { ok: true })
await durably.signal('id', 'cancel', 'why', { id: 'once' })
// @ts-expect-error -- the data is not what was declared
await durably.signal('id', 'approval', { ok: 'yes' })
// @ts-expect-error -- a string was declared
await durably.signal('id', 'cancel', 5)
const undeclared = defineJob({ name: 'undeclared', input: z.object({}), run: () => {} })
const both = createDurably({ dialect, jobs: { job, undeclared } })
await both.signal('id', 'whatever', 5)
// @ts-expect-error -- one of the jobs has declared it
await both.signal('id', 'cancel', 5)
await createDurably({ dialect }).signal('id', 'cancel', 5)
both satisfies Durably
declare const name: string
await both.signal('id', name, 5)

export async function waits(step: StepContext): Promise<void> {
  is<unknown>()(await step.waitForSignal('anything'))
  const checked = await step.waitForSignal('number', { schema: z.coerce.number() })
  is<number>()(checked)

  const options: SignalOptions<number> = { schema: z.coerce.number() }
  is<number | null>()(await step.waitForSignal('number', options))
  const soon = await step.waitForSignal('number', { schema: z.coerce.number(), timeout: maybe })
  is<number | null>()(soon)
  is<Token<number | null>>()(await step.token<number>('perhaps', { timeout: maybe }))

  const token = await step.token('plain', { schema: approval })
  is<Token<z.infer<typeof approval>>>()(token)
  const expiring = await step.token<number>('expiring', { timeout: '1d' })
  is<z.infer<typeof approval>>()(await step.waitForToken('a', token))
  is<number | null>()(await step.waitForToken('b', expiring))
  token satisfies string

  const first = await step.waitAny('first', {
    approved: wait.signal('approval', { schema: approval }),
    typed: wait.signal<Date>('date'),
    answered: wait.token(token),
    child: wait.run<number>('id'),
    late: wait.for('3d'),
    on: wait.until(new Date()),
  })
  if (first.key === 'approved') is<boolean>()(first.value.ok)
  if (first.key === 'typed') is<Date>()(first.value)
  if (first.key === 'answered') is<string>()(first.value.note)
  if (first.key === 'child') is<RunEnd<number>>()(first.value)
  if (first.key === 'late') is<null>()(first.value)
  // @ts-expect-error -- branches are made with `wait`.
  await step.waitAny('none', { a: 3 })

  await step.run('call', () => 1, {
    retry: { attempts: 2, retryIf: (error) => error !== null },
    timeout: '1s',
  })
  // @ts-expect-error -- it is called `attempts`.
  await step.run('call', () => 1, { retry: { times: 2 } })
}

export async function completes(token: Token<{ ok: boolean }>): Promise<void> {
  await durably.completeToken(token, { ok: true })
  // @ts-expect-error -- the value is the token's.
  await durably.completeToken(token, { ok: 1 })
  await durably.completeToken('from a URL', 3)
  await durably.signal('id', 'approval', { ok: true }, { id: 'once' })
}
