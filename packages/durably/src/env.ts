import { V7Generator } from 'uuidv7'
import type { Env, Scope } from './core/env.ts'

/** The environment of a real process. */
export function createEnv(): Env {
  const ids = new V7Generator()
  return {
    ...createClock(),
    elapsed: createElapsed(),
    turn: createTurn(),
    scope: createScope,
    id: () => ids.generateOrResetWithTs(Date.now()).toString(),
    secret: () => toText(crypto.getRandomValues(new Uint8Array(32))),
    async digest(secret) {
      const bytes = new TextEncoder().encode(secret)
      return toText(new Uint8Array(await crypto.subtle.digest('SHA-256', bytes)))
    },
  }
}

/** The part that a client needs, which executes nothing. */
export function createClock(): Pick<Env, 'now' | 'after' | 'random'> {
  return { now: () => Date.now(), after, random: () => Math.random() }
}

// The clocks differ a little by themselves, and are brought together slowly.
const SLEEP_MS = 100

/** The monotonic clock, which may stop while the machine sleeps: what the other one gains on it at once counts too. */
function createElapsed(): () => number {
  let ahead = Date.now() - performance.now()
  let asleep = 0
  return () => {
    const steady = performance.now()
    const now = Date.now() - steady
    if (now - ahead > SLEEP_MS) asleep += now - ahead
    ahead = now
    return Math.round(steady + asleep)
  }
}

interface Page {
  readonly visibilityState: string
  addEventListener(type: string, listener: () => void): void
  removeEventListener(type: string, listener: () => void): void
}

/** Whether someone sees the page; what is no page is always seen. */
export function createVisibility() {
  const { document: page } = globalThis as { document?: Page }
  return {
    isVisible: () => page?.visibilityState !== 'hidden',
    onChange(listener: () => void): () => void {
      page?.addEventListener('visibilitychange', listener)
      return () => page?.removeEventListener('visibilitychange', listener)
    },
  }
}

/** In base64 for addresses. */
function toText(bytes: Uint8Array): string {
  const base64 = btoa(String.fromCharCode(...bytes))
  return base64.replaceAll('+', '-').replaceAll('/', '_').replaceAll('=', '')
}

// A timer that is to take longer fires at once.
const LONGEST_TIMER_MS = 2 ** 31 - 1

function after(ms: number, fn: () => void): () => void {
  let timer: ReturnType<typeof setTimeout>
  const arm = (left: number): void => {
    const rest = left - LONGEST_TIMER_MS
    timer = rest > 0 ? setTimeout(() => arm(rest), LONGEST_TIMER_MS) : setTimeout(fn, left)
  }
  // Time passes between the reading of a clock and this; Node warns of timers that are late already.
  arm(Math.max(0, ms))
  return () => clearTimeout(timer)
}

/** `setImmediate` where it exists; a browser's timers are clamped to 4 ms, its message channel is not. */
function createTurn(): (fn: () => void) => void {
  if (typeof setImmediate === 'function') return (fn) => void setImmediate(fn)
  const { port1, port2 } = new MessageChannel()
  const queue: (() => void)[] = []
  port1.onmessage = () => queue.shift()?.()
  return (fn) => {
    queue.push(fn)
    port2.postMessage(null)
  }
}

interface AsyncHooks {
  AsyncLocalStorage: new <T>() => {
    run<R>(value: T, fn: () => R): R
    getStore(): T | undefined
  }
}

/** Asked of the process, not imported: browsers have neither, and a bundler must not look for it. */
function createScope<T>(): Scope<T> | null {
  const { process } = globalThis as {
    process?: { getBuiltinModule?: (id: string) => unknown }
  }
  const hooks = process?.getBuiltinModule?.('async_hooks') as AsyncHooks | undefined
  if (hooks === undefined) return null
  const storage = new hooks.AsyncLocalStorage<T>()
  return { run: (value, fn) => storage.run(value, fn), get: () => storage.getStore() }
}
