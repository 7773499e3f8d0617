import type { Client } from '@coji/durably/client'
import { Component, type ReactNode } from 'react'
import { hydrateRoot } from 'react-dom/client'
import { renderToString } from 'react-dom/server'
import { describe, expect, onTestFinished, test, vi } from 'vitest'
import { render } from 'vitest-browser-react'
import {
  DurablyProvider,
  useDurably,
  useJob,
  useJobLogs,
  useJobRun,
  useJobStream,
  useRunActions,
  useRuns,
} from '../src/index.ts'
import { add, clients, fails, openInstance, show } from './page.tsx'

function Adding() {
  const { trigger, reset, status, progress, output, isWaiting, isTerminal } = useJob(add)
  return (
    <>
      <button type="button" onClick={() => void trigger({ a: 1, b: 2 })}>
        add
      </button>
      <button type="button" onClick={reset}>
        reset
      </button>
      <output>
        {`${status} ${progress?.current ?? 0}/${progress?.total ?? 0} ${output} ${isWaiting} ${isTerminal}`}
      </output>
    </>
  )
}

function Shown({ runId }: { readonly runId: string | null }) {
  const { status, error, loadError, isLoading } = useJobRun({ runId })
  const { logs } = useJobLogs({ runId, maxLogs: 1 })
  const { chunks } = useJobStream<string>({ runId, name: 'words' })
  const lines = logs.map(({ message }) => message).join()
  return (
    <output>{`${status} ${error ?? loadError?.message} ${isLoading} [${lines}] ${chunks.join(' ')}`}</output>
  )
}

function List() {
  const { runs, page, hasMore, nextPage, prevPage } = useRuns({ jobName: 'fails', pageSize: 2 })
  const { deleteRun, cancel, error } = useRunActions()
  return (
    <>
      <output>{`${page} ${hasMore} ${runs.map(({ status }) => status).join()} ${error?.message}`}</output>
      <button type="button" onClick={nextPage}>
        older
      </button>
      <button type="button" onClick={prevPage}>
        newer
      </button>
      <button type="button" onClick={() => void deleteRun(runs[0]?.id ?? '')}>
        delete
      </button>
      <button type="button" onClick={() => void cancel(runs[0]?.id ?? '')}>
        cancel
      </button>
    </>
  )
}

function Once({ input }: { readonly input: { readonly a: number; readonly b: number } }) {
  const { trigger, isActive, status, triggerError } = useJob(add)
  return (
    <>
      <button type="button" disabled={isActive} onClick={() => void trigger(input)}>
        add
      </button>
      <output>{`${status} ${triggerError?.message}`}</output>
    </>
  )
}

class Boundary extends Component<
  { readonly children: ReactNode },
  { readonly error: Error | null }
> {
  override state = { error: null as Error | null }
  static getDerivedStateFromError(error: Error) {
    return { error }
  }
  override render() {
    return this.state.error === null ? this.props.children : this.state.error.message
  }
}

describe.each(Object.entries(clients))('over %s', (_name, connect) => {
  test('a job is triggered, and its run shown as it goes', async () => {
    const durably = openInstance()
    const page = await show(connect(durably), <Adding />)
    await expect.element(page.getByRole('status')).toHaveTextContent('null 0/0 null false false')
    await page.getByText('add').click()
    await expect.element(page.getByRole('status')).toHaveTextContent('waiting 1/2 null true false')
    const [run] = await durably.getRuns()
    await durably.signal(run?.id ?? '', 'go')
    await expect.element(page.getByRole('status')).toHaveTextContent('completed 2/2 3 false true')
    await page.getByText('reset').click()
    await expect.element(page.getByRole('status')).toHaveTextContent('null 0/0 null false false')
  })

  test('a button that is off while a run is active is off from the click on; what is refused is said', async () => {
    const durably = openInstance()
    const client = connect(durably)
    const sent = Promise.withResolvers<void>()
    const slow: Client = {
      ...client,
      getJob(name) {
        const handle = client.getJob(name)
        if (handle === undefined) return undefined
        const trigger: typeof handle.trigger = async (...args) => {
          await sent.promise
          return handle.trigger(...args)
        }
        return { ...handle, trigger }
      },
    }
    const page = await show(slow, <Once input={{ a: 1, b: 2 }} />)
    const button = page.getByRole('button')
    await button.click()
    await expect.element(button).toBeDisabled()
    await expect.element(page.getByRole('status')).toHaveTextContent('pending undefined')
    sent.resolve()
    await expect.element(page.getByRole('status')).toHaveTextContent('waiting undefined')
    await expect.element(button).toBeDisabled()
    const [run, ...others] = await durably.getRuns()
    expect(others).toEqual([])
    await durably.signal(run?.id ?? '', 'go')
    await expect.element(page.getByRole('status')).toHaveTextContent('completed undefined')
    await page.unmount()
    const wrong = await show(client, <Once input={{ a: Number.NaN, b: 2 }} />)
    await wrong.getByRole('button').click()
    await expect.element(wrong.getByRole('status')).toHaveTextContent(/^null Invalid input/)
    await expect.element(wrong.getByRole('button')).toBeEnabled()
  })

  test('a page that is opened again shows the run that has not ended', async () => {
    const durably = openInstance()
    await durably.getJob('add-numbers')?.trigger({ a: 1, b: 1 })
    const page = await show(connect(durably), <Adding />)
    await expect.element(page.getByRole('status')).toHaveTextContent('waiting 1/2')
    await page.unmount()
    const again = await show(connect(durably), <Adding />)
    await expect.element(again.getByRole('status')).toHaveTextContent('waiting 1/2')
  })

  test('a run is shown with its error, its log and its streams, also long after it ended', async () => {
    const durably = openInstance()
    const ended = async (name: string) => {
      const run = await durably.getJob(name)?.trigger(null)
      await durably.waitForRun(run?.id ?? '').catch(() => {})
      return run?.id ?? ''
    }
    const failed = await show(connect(durably), <Shown runId={await ended('fails')} />)
    await expect.element(failed.getByRole('status')).toHaveTextContent('failed out of ink false []')
    await failed.unmount()
    const recited = await show(connect(durably), <Shown runId={await ended('recites')} />)
    await expect
      .element(recited.getByRole('status'))
      .toHaveTextContent('completed undefined false [] to be')
    await recited.unmount()
    const running = await durably.getJob('add-numbers')?.trigger({ a: 1, b: 2 })
    const logged = await show(connect(durably), <Shown runId={running?.id ?? ''} />)
    await expect
      .element(logged.getByRole('status'))
      .toHaveTextContent('waiting undefined false [adding 1 and 2]')
    await logged.unmount()
    const none = await show(connect(durably), <Shown runId="nobody" />)
    await expect
      .element(none.getByRole('status'))
      .toHaveTextContent('null Run not found: nobody false []')
    await none.unmount()
    const nothing = await show(connect(durably), <Shown runId={null} />)
    await expect.element(nothing.getByRole('status')).toHaveTextContent('null undefined false []')
  })

  test('a list turns its pages, changes as runs do, and says why an action is refused', async () => {
    const durably = openInstance()
    const page = await show(connect(durably), <List />)
    const shown = page.getByRole('status')
    await expect.element(shown).toHaveTextContent('0 false undefined')
    for (let i = 0; i < 3; i++) await durably.getJob(fails.name)?.trigger(null)
    await expect.element(shown).toHaveTextContent('0 true failed,failed undefined')
    await page.getByText('older').click()
    await expect.element(shown).toHaveTextContent('1 false failed undefined')
    await page.getByText('newer').click()
    await expect.element(shown).toHaveTextContent('0 true failed,failed undefined')
    await page.getByText('delete').click()
    await expect.element(shown).toHaveTextContent('0 false failed,failed undefined')
    await page.getByText('cancel').click()
    await expect.element(shown).toHaveTextContent(/Cannot cancel failed run/)
  })
})

test.each(Object.entries(clients))(
  'over %s, a list by a label that is not known yet is refused: it would be the runs of everyone',
  async (_name, connect) => {
    const durably = openInstance()
    await durably.getJob(fails.name)?.trigger(null, { labels: { tenant: 'other' } })
    const Listing = ({ labels }: { readonly labels: Record<string, string> }) => {
      const { runs, isLoading, error } = useRuns({ labels })
      return <output>{`${isLoading} ${runs.length} ${error?.message}`}</output>
    }
    const client = connect(durably)
    const listing = (labels: Record<string, unknown>) => (
      <DurablyProvider durably={client}>
        <Listing labels={labels as Record<string, string>} />
      </DurablyProvider>
    )
    const page = await render(listing({}))
    const shown = page.getByRole('status')
    await expect.element(shown).toHaveTextContent('false 1 undefined')
    await page.rerender(listing({ tenant: undefined }))
    await expect
      .element(shown)
      .toHaveTextContent('false 0 label "tenant" must be a string; got undefined')
    await page.rerender(listing({ tenant: 'other' }))
    await expect.element(shown).toHaveTextContent('false 1 undefined')
    await page.rerender(listing({ tenant: 'mine' }))
    await expect.element(shown).toHaveTextContent('false 0 undefined')
  },
)

test('of a log as many lines are shown as are asked for, which may be none', async () => {
  const durably = openInstance()
  const { id } = (await durably.getJob('add-numbers')?.trigger({ a: 1, b: 2 })) ?? { id: '' }
  const Counting = ({ maxLogs }: { readonly maxLogs: number }) => {
    const { logs, isLoading } = useJobLogs({ runId: id, maxLogs })
    return <output>{`${isLoading} ${logs.length}`}</output>
  }
  const one = await show(durably, <Counting maxLogs={1} />)
  await expect.element(one.getByRole('status')).toHaveTextContent('false 1')
  await one.unmount()
  const none = await show(durably, <Counting maxLogs={0} />)
  await expect.element(none.getByRole('status')).toHaveTextContent('false 0')
})

test('a provider waits for a client that is promised', async () => {
  const opened = Promise.withResolvers<Client>()
  const page = await show(opened.promise, <Adding />)
  await expect.element(page.getByText('opening')).toBeVisible()
  opened.resolve(openInstance())
  await expect.element(page.getByRole('status')).toHaveTextContent('null')
})

test('hooks without a provider say what is missing', async () => {
  // React says it on the console as well.
  const said = vi.spyOn(console, 'error').mockImplementation(() => {})
  onTestFinished(() => said.mockRestore())
  const page = await render(
    <Boundary>
      <Adding />
    </Boundary>,
  )
  await expect
    .element(page.getByText('Durably hooks need a <DurablyProvider durably={…}> above them'))
    .toBeVisible()
})

test('a page rendered on a server is taken over as it is', async () => {
  const durably = openInstance()
  const { id } = (await durably.getJob('fails')?.trigger(null)) ?? { id: '' }
  await durably.waitForRun(id).catch(() => {})
  const app = (
    <DurablyProvider durably={durably}>
      <Shown runId={id} />
    </DurablyProvider>
  )
  const element = document.body.appendChild(document.createElement('div'))
  element.innerHTML = renderToString(app)
  expect(element.textContent).toContain('null undefined true []')
  const mismatches: unknown[] = []
  const root = hydrateRoot(element, app, { onRecoverableError: (error) => mismatches.push(error) })
  await expect.poll(() => element.textContent).toContain('failed out of ink')
  expect(mismatches).toEqual([])
  root.unmount()
  element.remove()
})

test('the client is at hand', async () => {
  const durably = openInstance()
  let found: unknown
  const Asking = () => {
    found = useDurably()
    return 'asked'
  }
  const page = await show(durably, <Asking />)
  await expect.element(page.getByText('asked')).toBeVisible()
  expect(found).toBe(durably)
})
