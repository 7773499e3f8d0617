import type { EntryKind } from '../../core/journal.ts'
import { isTerminal } from '../../core/transitions.ts'
import { crashError } from '../crash-error.ts'
import type { Claim, Fact, Reclaimed, ReclaimRequest } from '../store.ts'
import { inOrder } from './claim.ts'
import { isAhead, renewLease, restartAhead } from './renew.ts'
import { tell } from './tell-waiters.ts'
import { advance, type Row, type Tables, type WorkerRow } from './tables.ts'

/** A worker's own runs are not orphans to it: their lease, if nobody took it, is simply renewed. */
export function reclaim(tables: Tables, request: ReclaimRequest, now: number): Reclaimed {
  const { workerId, jobs, limit, maxCrashes } = request
  restartAhead(tables, now)
  const claimed: Claim[] = []
  const others: Fact[] = []
  const dead = runsOf(tables, (worker) => isDead(worker, now))
  for (const row of dead.sort(inOrder)) {
    if (row.workerId === workerId) continue
    const { jobName, attempt } = row.record
    const crashes = crashesOf(row)
    const isKnown = jobs.includes(jobName) && !tables.paused.has(jobName)
    if (crashes >= maxCrashes) {
      others.push(giveUp(row, crashes, now))
    } else if (!isKnown) {
      const changes = { crashes, attempt: attempt + 1 }
      others.push(advance(row, 'recover', { reason: 'recover' }, changes, now))
    } else if (claimed.length < limit) {
      row.workerId = workerId
      const changes = { crashes, attempt: attempt + 1 }
      claimed.push(advance(row, 'reclaim', { attempt: attempt + 1 }, changes, now))
    }
  }
  if (claimed.length > 0) renewLease(tables, request, now, request.jobs)
  const ended = others.filter(({ run }) => isTerminal(run.status))
  const told = ended.flatMap(({ run }) => tell(tables, run, now))
  return { claimed, others: [...others, ...told] }
}

/** Whether there is something for `reclaim`: runs of workers that are dead, or were seen before the clock was set back. */
export function areOrphans(tables: Tables, now: number): boolean {
  return runsOf(tables, (worker) => isDead(worker, now) || isAhead(worker, now)).length > 0
}

function isDead({ expiresAt }: WorkerRow, now: number): boolean {
  return expiresAt <= now
}

function runsOf({ runs, workers }: Tables, isMeant: (worker: WorkerRow) => boolean): Row[] {
  return [...runs.values()].filter(({ workerId }) => {
    const worker = workerId === null ? undefined : workers.get(workerId)
    return worker !== undefined && isMeant(worker)
  })
}

const attemptEnds: readonly EntryKind[] = ['step:complete', 'step:fail', 'step:retry']

/** Workers that died in a row, the last one included. A step that ended since it started breaks the row. */
function crashesOf({ record, journal }: Row): number {
  const start = journal.findLastIndex(({ kind }) => kind === 'run:start')
  const stepEnded = journal.slice(start + 1).some(({ kind }) => attemptEnds.includes(kind))
  return stepEnded ? 1 : record.crashes + 1
}

function giveUp(row: Row, crashes: number, now: number): Fact {
  const error = crashError(crashes, row.record.executing)
  const duration = now - (row.record.startedAt ?? now)
  return advance(row, 'fail', { duration, error }, { crashes, error }, now)
}
