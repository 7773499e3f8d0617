import { createTurns, type Turns } from './turns.ts'

/**
 * Turns among all tabs and workers of an origin, by Web Locks: fair, and given back by whoever dies. Where there are
 * none, turns of this one.
 */
export function createTabTurns(name: string): Turns {
  const { locks } = navigator as Partial<Navigator>
  return locks === undefined ? createTurns() : createLockTurns(locks, name)
}

function createLockTurns(locks: LockManager, name: string): Turns {
  let release = (): void => {}
  return {
    take: () =>
      new Promise((resolve, reject) => {
        const hold = (): Promise<void> => {
          resolve()
          return new Promise((end) => {
            release = end
          })
        }
        locks.request(name, hold).catch(reject)
      }),
    pass: () => release(),
  }
}
