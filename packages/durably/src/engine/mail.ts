import { encode } from '../core/codec.ts'
import type { Env } from '../core/env.ts'
import { ConflictError, NotFoundError, ValidationError } from '../core/error.ts'
import type { Instance } from '../core/instance.ts'
import type { JobDefinition } from '../core/job.ts'
import { parseWith } from '../core/schema.ts'
import { requireText } from '../core/require-text.ts'
import type { Settings } from '../core/options.ts'
import { requireOptions } from '../core/require-object.ts'
import { show } from '../core/show.ts'
import type { Send, Sent, Store } from '../store/store.ts'

export interface MailOptions {
  readonly store: Pick<Store, 'run'>
  readonly env: Env
  readonly settings: Pick<Settings, 'codec'>
  readonly jobs: ReadonlyMap<string, JobDefinition>
  readonly send: (message: Send) => Promise<Sent>
}

type Mail = Pick<Instance, 'signal' | 'completeToken' | 'wake'>

/** What anyone may send to a run. */
export function createMail(mail: MailOptions): Mail {
  const { env, settings } = mail
  return {
    async signal(runId, name, data, options = {}) {
      requireText(runId, 'run id')
      requireText(name, 'signal name')
      requireOptions(options, { id: true })
      const { id } = options
      if (id !== undefined) requireText(id, 'signal id')
      const value = await parseSignal(mail, runId, name, data)
      await send(mail, 'Cannot signal', runId, {
        id: id === undefined ? env.id() : JSON.stringify(['signal', name, id]),
        to: { runId },
        kind: 'signal',
        name,
        data: await encode(value, settings.codec, `data of signal "${name}"`),
      })
    },
    async completeToken(token, data) {
      requireText(token, 'token')
      const sent = await mail.send({
        id: env.id(),
        to: { tokenHash: await env.digest(token) },
        kind: 'token',
        name: '',
        data: await encode(data, settings.codec, 'data of the token'),
      })
      if (!sent.done) throw tokenRefusal(sent)
    },
    async wake(runId, waitName) {
      requireText(runId, 'run id')
      requireText(waitName, 'wait name')
      const data = await encode(null, settings.codec, 'data')
      const message = { id: env.id(), to: { runId }, kind: 'wake', name: waitName, data } as const
      await send(mail, `Cannot wake "${waitName}" of`, runId, message)
    },
  }
}

/** What the schema that the run's job declares for the signal makes of the data, where the job is known here. */
async function parseSignal(
  { store, jobs }: MailOptions,
  runId: string,
  name: string,
  data: unknown,
): Promise<unknown> {
  if (![...jobs.values()].some(({ signals }) => signals !== undefined)) return data
  const run = await store.run(runId)
  const { signals } = jobs.get(run?.jobName ?? '') ?? {}
  if (signals === undefined) return data
  const schema = Object.hasOwn(signals, name) ? signals[name] : undefined
  if (schema !== undefined) return parseWith(schema, data, `Invalid signal "${name}"`)
  throw new ValidationError(
    `Job "${run?.jobName}" takes no signal ${show(name)}; it declares ${Object.keys(signals).join(', ')}`,
  )
}

async function send(mail: MailOptions, verb: string, runId: string, message: Send): Promise<void> {
  const sent = await mail.send(message)
  if (sent.done) return
  if (sent.reason === 'unknown') throw new NotFoundError(`Run not found: ${runId}`)
  if (sent.reason === 'not-waiting') {
    throw new ConflictError(`${verb} ${sent.status} run: ${runId}; it sleeps under no such name`)
  }
  throw new ConflictError(`${verb} ${sent.status} run: ${runId}`)
}

function tokenRefusal({ reason, status }: Extract<Sent, { done: false }>): Error {
  switch (reason) {
    case 'used':
      return new ConflictError('The token was completed before')
    case 'expired':
      return new ConflictError('The token has expired')
    case 'ended':
      return new ConflictError(`The run that made the token has ended: it is ${status}`)
    default:
      return new NotFoundError('There is no such token')
  }
}
