import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { onTestFinished } from 'vitest'

/** A write lock that another process holds: file locks are per process, so nobody here could hold it. */
export interface ForeignLock {
  release(): Promise<void>
}

const DRIVER = `new (require('better-sqlite3'))(process.argv[1])`

const HOLD = `
  const database = ${DRIVER}
  database.exec('begin immediate')
  console.log('locked')
  process.stdin.on('data', () => { database.exec('commit'); process.exit() })`

export async function lockElsewhere(file: string): Promise<ForeignLock> {
  const child = spawn(process.execPath, ['-e', HOLD, file], {
    cwd: import.meta.dirname,
    stdio: ['pipe', 'pipe', 'inherit'],
  })
  onTestFinished(() => void child.kill())
  await once(child.stdout, 'data')
  return {
    release: async () => {
      child.stdin.write('\n')
      await once(child, 'exit')
    },
  }
}

/** What another process, with another copy of SQLite, finds in the file. */
export function queryElsewhere(file: string, sql: string): Record<string, unknown>[] {
  const query = `console.log(JSON.stringify(${DRIVER}.prepare(process.argv[2]).all()))`
  return JSON.parse(evaluate(query, file, sql)) as Record<string, unknown>[]
}

export function executeElsewhere(file: string, sql: string): void {
  evaluate(`${DRIVER}.exec(process.argv[2])`, file, sql)
}

function evaluate(script: string, ...args: string[]): string {
  const options = { cwd: import.meta.dirname, encoding: 'utf8' } as const
  return execFileSync(process.execPath, ['-e', script, ...args], options)
}
