import type { Env } from '../../../core/env.ts'
import { DurablyError } from '../../../core/error.ts'

/** How long anyone waits for what others in this process or another hold. */
export const GIVE_UP_MS = 5000

export interface Waiting<T> {
  /** Whether whoever has it keeps it; as long as it goes round, it is waited for. */
  isStuck(): boolean
  /** Takes back what came too late. */
  giveBack(late: T): unknown
  /** What is likely the matter, and the way out. */
  readonly message: string
}

/** What is coming, or a rejection with `DurablyError` once it has been stuck for `GIVE_UP_MS`. */
export function inTime<T>(env: Env, coming: Promise<T>, waiting: Waiting<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    let isLate = false
    const wait = (): (() => void) =>
      env.after(GIVE_UP_MS, () => {
        if (!waiting.isStuck()) {
          cancel = wait()
          return
        }
        isLate = true
        reject(new DurablyError('store', waiting.message))
      })
    let cancel = wait()
    coming
      .then((come) => (isLate ? waiting.giveBack(come) : resolve(come)))
      .catch(reject)
      .finally(() => cancel())
  })
}
