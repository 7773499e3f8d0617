import type { RunRecord } from '../core/run.ts'
import { transitions } from '../core/transitions.ts'
import type { NewRun } from './store.ts'

/** The run as it is when it has just been made. */
export function newRecord(run: NewRun, now: number): RunRecord {
  return {
    id: run.id,
    jobName: run.jobName,
    status: transitions.trigger.to,
    payload: run.payload,
    output: null,
    error: null,
    progress: null,
    idempotencyKey: run.idempotencyKey,
    concurrencyKey: run.concurrencyKey,
    labels: run.labels,
    priority: run.priority,
    attempt: 1,
    generation: 0,
    crashes: 0,
    executing: null,
    inbox: 0,
    parentRunId: null,
    waitingFor: null,
    dueAt: run.dueAt ?? now,
    expireAt: run.expireAt,
    createdAt: now,
    updatedAt: now,
    startedAt: null,
    completedAt: null,
  }
}
