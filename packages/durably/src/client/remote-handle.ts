import type { Disposition, RunFilter } from '../core/handle.ts'
import { requireObject } from '../core/require-object.ts'
import type { Run } from '../core/run.ts'
import { waitHow } from '../core/wait-how.ts'
import type { ClientHandle } from './client.ts'
import { orNone, type Requests } from './http-requests.ts'
import type { Wait } from './remote-wait.ts'

export interface RemoteReads {
  getRuns(filter: RunFilter): Promise<Run[]>
  readonly wait: Wait
}

/** The handle of a job that the server has under this name or key. */
export function createRemoteHandle(
  name: string,
  { send }: Requests,
  { getRuns, wait }: RemoteReads,
): ClientHandle {
  async function trigger(
    input: unknown,
    options: object = {},
  ): Promise<Run & { readonly disposition: Disposition }> {
    requireObject(options, 'options')
    const body = { ...options, jobName: name, input }
    const answer = await send('POST', '/trigger', { body })
    const { run, disposition } = answer as { run: Run; disposition: Disposition }
    return { ...run, disposition }
  }

  return {
    name,
    trigger,
    async triggerAndWait(input, options = {}) {
      requireObject(options, 'options')
      const { timeout, ...others } = options
      const how = waitHow('triggerAndWait', { timeout })
      const { id, disposition } = await trigger(input, others)
      const { output } = await wait(id, how)
      return { id, output, disposition }
    },
    getRun: (runId) =>
      orNone(send('GET', '/run', { query: { runId, jobName: name } }), null) as Promise<Run | null>,
    // What is no filter stays that, and is refused.
    getRuns: (filter = {}) => getRuns(filter && { ...filter, jobName: name }),
  }
}

/** A handle under whatever key is asked for: which there are, only the server knows. */
export function createRemoteHandles(
  create: (name: string) => ClientHandle,
): Readonly<Record<string, ClientHandle>> {
  const handles = new Map<string, ClientHandle>()
  return new Proxy(
    {},
    {
      get(_, key) {
        // A promise is what has `then`: awaiting the handles must not ask for a job of that name.
        if (typeof key !== 'string' || key === 'then') return undefined
        const handle = handles.get(key) ?? create(key)
        handles.set(key, handle)
        return handle
      },
    },
  )
}
