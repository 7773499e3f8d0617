import type { Observed } from '@coji/durably/observers'
import { useSyncExternalStore } from 'react'

/** What is known now; what is known before anything is read, where a server renders the page. */
export function useObserved<T>({ subscribe, get, initial }: Observed<T>): T {
  return useSyncExternalStore(subscribe, get, () => initial)
}
