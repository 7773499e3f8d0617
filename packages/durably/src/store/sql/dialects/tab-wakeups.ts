import type { Wakeups } from '../../../core/wakeups.ts'

/** Tells the other tabs and workers of an origin, by BroadcastChannel. A channel does not hear itself. */
export function createTabWakeups(path: () => Promise<string>): Wakeups {
  const open = async () => new BroadcastChannel(`durably:wakeups:${await path()}`)
  return {
    listen: async (onWake) => {
      const channel = await open()
      channel.onmessage = ({ data }) => onWake(String(data))
      return async () => channel.close()
    },
    notify: async (message) => {
      const channel = await open()
      channel.postMessage(message)
      channel.close()
    },
  }
}
