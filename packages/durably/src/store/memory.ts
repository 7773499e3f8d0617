import type { RunRecord } from '../core/run.ts'
import { act, removeRun } from './memory/act.ts'
import { claim } from './memory/claim.ts'
import { commit, requirePositions } from './memory/commit.ts'
import { enqueue } from './memory/enqueue.ts'
import { look } from './memory/look.ts'
import { promote } from './memory/promote.ts'
import { purge } from './memory/purge.ts'
import { listRuns, readJournal, readRun } from './memory/read.ts'
import { reclaim } from './memory/reclaim.ts'
import { leasesOf, renew, retire } from './memory/renew.ts'
import { tell } from './memory/tell-waiters.ts'
import { createTables, type Tables } from './memory/tables.ts'
import { send } from './memory/send.ts'
import { readMailbox, watch } from './memory/mailbox.ts'
import type { Batch, Store, Written } from './store.ts'

/**
 * The reference model of the store: what `sql/` does, said as plainly as possible. It lives and dies with
 * the process. What goes in and out is copied, as if there were a wire.
 */
export function createMemoryStore(): Store {
  const tables = createTables()
  return {
    migrate: async () => {},
    write: async (batch, now) => structuredClone(write(tables, structuredClone(batch), now)),
    look: async (jobs, now) => look(tables, jobs, now),
    promote: async (limit, now) => structuredClone(promote(tables, limit, now)),
    reclaim: async (request, now) => structuredClone(reclaim(tables, request, now)),
    renew: async (worker, now) => renew(tables, worker, now),
    leases: async (workerId) => leasesOf(tables, workerId),
    retire: async (idPrefix, except) => retire(tables, idPrefix, except),
    act: async (request, now) => structuredClone(act(tables, request, now)),
    remove: async (runId, now) => structuredClone(removeRun(tables, runId, now)),
    watch: async (runId, target) => watch(tables, runId, target),
    setPaused: async (jobName, paused) => {
      if (paused) tables.paused.add(jobName)
      else tables.paused.delete(jobName)
    },
    purge: async (filter, before, limit, now) => purge(tables, filter, before, limit, now),
    run: async (id) => structuredClone(readRun(tables, id)),
    runs: async (query) => structuredClone(listRuns(tables, query)),
    journal: async (runId, after, limit) =>
      structuredClone(readJournal(tables, runId, after, limit)),
    mailbox: async (runId) => structuredClone(readMailbox(tables, runId)),
    version: async () => null,
    close: async () => {},
  }
}

/** Commits come first: the keys they free are what the claim of the same batch takes. */
function write(tables: Tables, batch: Batch, now: number): Written {
  requirePositions(tables, batch.commits)
  const ended: RunRecord[] = []
  return {
    commits: batch.commits.map((item) => commit(tables, item, now, ended)),
    woken: ended.flatMap((run) => tell(tables, run, now)),
    runs: enqueue(tables, batch.runs, now),
    sends: batch.sends.map((item) => send(tables, item, now)),
    claimed: batch.claim === null ? [] : claim(tables, batch.claim, now),
  }
}
