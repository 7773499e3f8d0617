/** A moment in the life of a process at which it ends itself, without warning. */
export interface KillPoint {
  readonly when: (typeof moments)[number]
  /** The how manieth such moment it is, from 1. */
  readonly nth: number
}

const moments = ['before write', 'after write', 'before commit', 'after commit', 'in step'] as const

// A worker that lives longer would survive most of what is there to do.
const MAX_NTH = 60

export function pickKillPoint(random: () => number): KillPoint {
  const when = moments[Math.floor(random() * moments.length)] ?? 'in step'
  return { when, nth: 1 + Math.floor(random() * MAX_NTH) }
}

/** What sees every statement on its way to the database, and its answer on the way back. */
export interface Tap {
  before(sql: string): void
  after(sql: string): void
}

export interface Killer extends Tap {
  /** A step is about to have its effect. */
  inStep(): void
}

/** Ends this process at the point; null: never. */
export function createKiller(point: KillPoint | null): Killer {
  let left = point?.nth ?? 0
  const pass = (moment: string): void => {
    // No process sees its own SIGKILL: nothing after this line happens.
    if (moment === point?.when && --left === 0) process.kill(process.pid, 'SIGKILL')
  }
  return {
    before: (sql) => pass(`before ${kindOf(sql)}`),
    after: (sql) => pass(`after ${kindOf(sql)}`),
    inStep: () => pass('in step'),
  }
}

function kindOf(sql: string): 'commit' | 'write' | 'read' {
  const text = sql.trimStart().toLowerCase()
  if (text.startsWith('commit')) return 'commit'
  return /\b(insert into|update|delete from)\b/.test(text) ? 'write' : 'read'
}
