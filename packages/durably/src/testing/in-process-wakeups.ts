import type { Wakeups } from '../core/wakeups.ts'

/** Wake-ups between instances of one process, which come at once. */
export function createInProcessWakeups(): Wakeups {
  const listeners = new Set<(message: string) => void>()
  return {
    async listen(onWake) {
      listeners.add(onWake)
      return async () => void listeners.delete(onWake)
    },
    async notify(message) {
      for (const onWake of listeners) onWake(message)
    },
  }
}
