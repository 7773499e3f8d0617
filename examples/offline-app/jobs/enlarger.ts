import type { EffectName, Strip } from './effects.ts'
import type { Bytes } from './plates.ts'

export interface Exposure extends Strip {
  readonly effect: EffectName
  /** How long it takes at least, in milliseconds. */
  readonly time: number
}

export interface Exposed {
  readonly pixels: Bytes
  readonly carry: Float32Array
}

/**
 * Exposes a strip in a worker: the page stays smooth, and goes on at full speed when it is hidden, where browsers slow
 * its own timers down.
 */
export function expose(exposure: Exposure, signal: AbortSignal): Promise<Exposed> {
  signal.throwIfAborted()
  const { port1: here, port2: there } = new MessageChannel()
  return new Promise<Exposed>((resolve, reject) => {
    signal.addEventListener('abort', () => reject(signal.reason as Error), { once: true })
    here.addEventListener('message', ({ data }: MessageEvent<Exposed>) => resolve(data))
    here.start()
    enlarger().postMessage({ exposure, answer: there }, [there])
  }).finally(() => here.close())
}

let worker: Worker | undefined

function enlarger(): Worker {
  return (worker ??= new Worker(new URL('./enlarger-worker.ts', import.meta.url), {
    type: 'module',
  }))
}
