import { observersOf, type Client, type Observers } from '@coji/durably/observers'
import { createContext, createElement, Suspense, use, type ReactNode } from 'react'

type AnyClient = Pick<Client, 'getRun'>

export interface DurablyProviderProps {
  /** An instance in this page, a client of a server, or a promise of either: always the same promise. */
  readonly durably: AnyClient | Promise<AnyClient>
  /** Shown until the promise resolves. */
  readonly fallback?: ReactNode
  readonly children?: ReactNode
}

const Context = createContext<Observers | null>(null)

/**
 * Gives a client to the hooks beneath it.
 *
 * @example
 * const client = createDurablyClient<typeof durably>({ api: '/api/durably' })
 * createRoot(element).render(<DurablyProvider durably={client}><App /></DurablyProvider>)
 */
export function DurablyProvider({
  durably,
  fallback = null,
  children,
}: DurablyProviderProps): ReactNode {
  if (!('then' in durably)) return provide(durably, children)
  return createElement(Suspense, { fallback }, createElement(Awaited, { durably }, children))
}

function Awaited({
  durably,
  children,
}: {
  readonly durably: Promise<AnyClient>
  readonly children?: ReactNode
}): ReactNode {
  return provide(use(durably), children)
}

function provide(client: AnyClient, children: ReactNode): ReactNode {
  return createElement(Context, { value: observersOf(client) }, children)
}

export function useObservers(): Observers {
  const observers = use(Context)
  if (observers !== null) return observers
  throw new Error('Durably hooks need a <DurablyProvider durably={…}> above them')
}

/** The client that the provider was given. */
export function useDurably(): Client {
  return useObservers().client
}
