import {
  isLegal,
  isTerminal,
  transitions,
  type TransitionName,
  raisesGeneration,
} from '../../src/core/transitions.ts'
import type { RunStatus } from '../../src/core/transitions.ts'
import { awaits } from '../../src/core/awaits.ts'
import type { RunRecord, Wait } from '../../src/core/run.ts'
import type {
  ActRequest,
  Acted,
  Answer,
  Batch,
  Claim,
  ClaimRequest,
  Commit,
  Enqueued,
  Fact,
  Held,
  NewRun,
  ReclaimRequest,
  Removed,
  Reclaimed,
  Send,
  Sent,
  Store,
  Transition,
  WorkerLease,
  Written,
} from '../../src/store/store.ts'

/** What is known of a run from what the store was asked and answered. */
interface Account {
  readonly id: string
  readonly jobName: string
  readonly concurrencyKey: string | null
  readonly idempotencyKey: string | null
  readonly expireAt: number | null
  readonly dueAt: number
  /** It stood in the queue of its key from the beginning; others join it when someone makes them due. */
  readonly queued: boolean
  status: RunStatus
  generation: number
  lastSeq: number
  /** Under which generation each entry was written. */
  readonly writtenBy: number[]
  attempt: number
  worker: string | null
  holdsKey: boolean
  deleted: boolean
  /** What it waits for, once it was parked; and by when it is woken. */
  waits: readonly Wait[]
  wakeAt: number | null
  readonly consumed: Set<number>
  /** What it was sent and has not consumed, by position. */
  readonly mail: Map<number, { readonly kind: Send['kind']; readonly name: string }>
}

/** Watches the store from beside it and holds each answer against the promises. */
export interface Ledger {
  readonly store: Store
  readonly accounts: ReadonlyMap<string, Account>
  /** What was broken, first to last. */
  readonly violations: string[]
}

interface State {
  readonly inner: Store
  readonly told: Told
  readonly accounts: Map<string, Account>
  readonly expiries: Map<string, number>
  /** Workers that have claimed: their rows say what for. */
  readonly claimers: Set<string>
  readonly paused: Set<string>
  /** The names of tokens, by their hashes. */
  readonly tokens: Map<string, string>
  readonly violations: string[]
}

/** Who is told what became of runs. */
interface Told {
  /** A retry took place, and began this attempt. */
  retried(runId: string, attempt: number): void
}

export function createLedger(inner: Store, told: Told): Ledger {
  const ledger: State = {
    inner,
    told,
    accounts: new Map(),
    expiries: new Map(),
    claimers: new Set(),
    paused: new Set(),
    tokens: new Map(),
    violations: [],
  }
  const { accounts, violations } = ledger
  return {
    accounts,
    violations,
    store: {
      ...inner,
      async write(batch, now) {
        const written = await inner.write(batch, now)
        checkWritten(ledger, batch, written, now)
        return written
      },
      async promote(limit, now) {
        return checkPromoted(ledger, await inner.promote(limit, now), now)
      },
      async reclaim(request, now) {
        return checkReclaimed(ledger, request, await inner.reclaim(request, now), now)
      },
      async renew(worker, now) {
        ledger.expiries.set(worker.workerId, now + worker.leaseMs)
        return checkLeases(ledger, worker, await inner.renew(worker, now))
      },
      async retire(idPrefix, except) {
        for (const workerId of ledger.expiries.keys()) {
          const isMeant = workerId.startsWith(idPrefix) && !except.includes(workerId)
          if (isMeant) ledger.expiries.set(workerId, Number.NEGATIVE_INFINITY)
        }
        return inner.retire(idPrefix, except)
      },
      async act(request, now) {
        return checkActed(ledger, request, await inner.act(request, now))
      },
      async remove(runId, now) {
        return checkRemoved(ledger, runId, await inner.remove(runId, now))
      },
      async setPaused(jobName, paused, now) {
        await inner.setPaused(jobName, paused, now)
        if (paused) ledger.paused.add(jobName)
        else ledger.paused.delete(jobName)
      },
      async purge(filter, before, limit, now) {
        const ids = await inner.purge(filter, before, limit, now)
        for (const id of ids) forget(ledger, id)
        return ids
      },
    },
  }
}

function checkWritten(ledger: State, batch: Batch, written: Written, now: number): void {
  batch.commits.forEach((commit, i) => checkCommit(ledger, commit, written.commits[i]))
  const asked = batch.runs.map((run, i) => [run, written.runs[i]] as const)
  // An answer may speak of a run that the same batch made, also for a later item.
  const created = asked.filter(([, answer]) => answer?.disposition === 'created')
  const others = asked.filter((pair) => !created.includes(pair))
  checkWoken(ledger, written.woken)
  for (const [run, answer] of [...created, ...others]) checkEnqueued(ledger, run, answer, now)
  batch.sends.forEach((message, i) => checkSent(ledger, message, written.sends[i]))
  const { claim } = batch
  if (claim !== null) checkClaimed(ledger, claim, written.claimed, now)
}

function checkCommit(ledger: State, commit: Commit, answer: Answer | undefined): void {
  const { lease, entries, transition } = commit
  const run = ledger.accounts.get(lease.runId)
  if (run === undefined || run.deleted) return
  const holds = run.status === 'running' && run.generation === lease.generation
  const first = entries[0]?.seq ?? run.lastSeq + 1
  const sentAgain = first <= run.lastSeq
  const isThere = sentAgain && run.writtenBy[first - 1] === lease.generation
  if (answer === 'moved') {
    if (transition?.name !== 'park') broken(ledger, `${answer} was said of what parks nothing`)
    if (!holds || isThere) broken(ledger, `moved was said to no holder of ${run.id}`)
    return
  }
  if (answer !== 'committed') {
    if (isThere) broken(ledger, `what was written to ${run.id} was said to be ${answer}`)
    if (holds && !sentAgain) broken(ledger, `${answer} was said to the holder of ${run.id}`)
    return
  }
  if (sentAgain) {
    if (!isThere) broken(ledger, `committed was said of what was not written to ${run.id}`)
    return
  }
  if (!holds) {
    broken(
      ledger,
      `a stale lease (${lease.generation}) wrote to ${run.id}, ${run.status} ${run.generation}`,
    )
  }
  for (const { seq } of entries) extend(ledger, run, seq, lease.generation)
  for (const seq of commit.consumes ?? []) consume(ledger, run, seq)
  for (const { hash, name } of commit.tokens ?? []) ledger.tokens.set(hash, name)
  if (transition !== undefined) move(ledger, run, transition.name)
  if (transition?.name === 'park') checkParked(ledger, run, transition)
}

/** Each message is consumed once. Ends of runs come without having been sent. */
function consume(ledger: State, run: Account, seq: number): void {
  if (run.consumed.has(seq)) broken(ledger, `message ${seq} of ${run.id} was consumed twice`)
  run.consumed.add(seq)
  run.mail.delete(seq)
}

/** No wake-up is lost: who parks has seen all that was sent. */
function checkParked(
  ledger: State,
  run: Account,
  { waits, wakeAt }: Extract<Transition, { name: 'park' }>,
): void {
  run.waits = waits
  run.wakeAt = wakeAt
  const missed = [...run.mail.values()].find((message) => awaits(waits, message))
  if (missed !== undefined) broken(ledger, `${run.id} sleeps on the ${missed.kind} ${missed.name}`)
}

function checkSent(ledger: State, message: Send, sent: Sent | undefined): void {
  if (sent === undefined) return broken(ledger, 'a message got no answer')
  const run = sent.done ? ledger.accounts.get(sent.run.id) : undefined
  if (!sent.done || !sent.isNew || run === undefined) return
  const kind = message.kind
  const name = 'tokenHash' in message.to ? ledger.tokens.get(message.to.tokenHash) : message.name
  if (name === undefined) return broken(ledger, `a token of ${run.id} that nobody made was taken`)
  run.mail.set(sent.run.inbox, { kind, name })
  const isAwaited = run.status === 'waiting' && awaits(run.waits, { kind, name })
  if (isAwaited && sent.entry === null) broken(ledger, `${kind} ${name} did not wake ${run.id}`)
  if (sent.entry !== null) checkWoken(ledger, [{ run: sent.run, entry: sent.entry }])
}

function checkWoken(ledger: State, facts: readonly Fact[]): void {
  for (const { run, entry } of facts) {
    const account = ledger.accounts.get(run.id)
    if (account === undefined) continue
    extend(ledger, account, entry.seq)
    move(ledger, account, 'wake')
  }
}

function checkEnqueued(
  ledger: State,
  asked: NewRun,
  answer: Enqueued | undefined,
  now: number,
): void {
  if (answer === undefined) return broken(ledger, 'a trigger got no answer')
  const { run, disposition, entry } = answer
  const known = ledger.accounts.get(run.id)
  if (disposition === 'created' && known?.deleted === true) {
    if (entry !== null) broken(ledger, `${run.id} was deleted, and made again`)
    return
  }
  if (disposition === 'created' && known === undefined) {
    const { idempotencyKey, jobName } = asked
    const same = [...ledger.accounts.values()].find(
      (other) =>
        !other.deleted &&
        idempotencyKey !== null &&
        other.idempotencyKey === idempotencyKey &&
        other.jobName === jobName,
    )
    if (same !== undefined) broken(ledger, `${run.id} and ${same.id} have one idempotency key`)
    const { concurrencyKey, expireAt, generation } = run
    ledger.accounts.set(run.id, {
      id: run.id,
      jobName,
      concurrencyKey,
      idempotencyKey,
      expireAt,
      dueAt: asked.dueAt ?? now,
      queued: asked.dueAt === null || asked.dueAt <= now,
      status: run.status,
      generation,
      lastSeq: 1,
      writtenBy: [generation],
      attempt: 1,
      worker: null,
      holdsKey: false,
      deleted: false,
      waits: [],
      wakeAt: null,
      consumed: new Set(),
      mail: new Map(),
    })
    return
  }
  if (known === undefined) return broken(ledger, `${disposition} ${run.id}, which nobody made`)
  if (disposition === 'coalesced' && entry !== null && entry.seq > known.lastSeq) {
    extend(ledger, known, entry.seq)
    if (known.status !== 'pending') broken(ledger, `coalesced into ${known.status} ${run.id}`)
  }
}

function checkClaimed(
  ledger: State,
  request: ClaimRequest,
  claims: readonly Claim[],
  now: number,
): void {
  if (claims.length > 0) noteLease(ledger, request, now)
  if (claims.length > request.limit) broken(ledger, `more was claimed than asked for`)
  for (const { run, entry } of claims) {
    const account = ledger.accounts.get(run.id)
    if (account === undefined) return broken(ledger, `claimed ${run.id}, which nobody made`)
    if (ledger.paused.has(run.jobName)) broken(ledger, `claimed ${run.id} of a paused job`)
    if (!request.jobs.includes(run.jobName)) broken(ledger, `claimed ${run.id} of an unknown job`)
    checkKey(ledger, account, now)
    begin(ledger, account, 'claim', request.workerId, entry.seq, run)
  }
}

/** Runs with one key execute one at a time, in order of due time, then id. */
function checkKey(ledger: State, run: Account, now: number): void {
  if (run.concurrencyKey === null || run.holdsKey) return
  for (const other of ledger.accounts.values()) {
    if (other === run || other.deleted || other.concurrencyKey !== run.concurrencyKey) continue
    if (other.holdsKey) broken(ledger, `${run.id} and ${other.id} hold one key`)
    const before = other.dueAt < run.dueAt || (other.dueAt === run.dueAt && other.id < run.id)
    const expired = other.expireAt !== null && other.expireAt <= now
    if (other.status === 'pending' && before && other.queued && !expired) {
      broken(ledger, `${run.id} overtook ${other.id} in the queue of its key`)
    }
  }
}

function checkPromoted(ledger: State, facts: Fact[], now: number): Fact[] {
  for (const { run, entry } of facts) {
    const account = ledger.accounts.get(run.id)
    if (account === undefined) continue
    if (entry.kind === 'run:wake') {
      const isDue = account.wakeAt !== null && account.wakeAt <= now
      if (entry.data.includes('"due"') && !isDue) broken(ledger, `${run.id} woke early`)
      checkWoken(ledger, [{ run, entry }])
      continue
    }
    if (account.expireAt === null || account.expireAt > now)
      broken(ledger, `${run.id} expired early`)
    extend(ledger, account, entry.seq)
    move(ledger, account, 'expire')
  }
  return facts
}

/**
 * A claim leaves a lease of which at most an eighth is gone, and renews any other; also that of a worker which has said
 * so far only that it is there.
 */
function noteLease(
  { expiries, claimers }: State,
  { workerId, leaseMs }: ClaimRequest,
  now: number,
): void {
  const left = (expiries.get(workerId) ?? 0) - now
  const isFresh = claimers.has(workerId) && left >= (leaseMs * 7) / 8 && left <= leaseMs
  if (!isFresh) expiries.set(workerId, now + leaseMs)
  claimers.add(workerId)
}

function checkReclaimed(
  ledger: State,
  request: ReclaimRequest,
  reclaimed: Reclaimed,
  now: number,
): Reclaimed {
  const { workerId, leaseMs } = request
  if (reclaimed.claimed.length > 0) {
    ledger.expiries.set(workerId, now + leaseMs)
    ledger.claimers.add(workerId)
  }
  for (const { run, entry } of [...reclaimed.claimed, ...reclaimed.others]) {
    const account = ledger.accounts.get(run.id)
    if (account === undefined) continue
    const expiry = ledger.expiries.get(account.worker ?? '') ?? 0
    if (expiry > now && entry.kind !== 'run:wake')
      broken(ledger, `${run.id} was reclaimed from a worker with a lease`)
    if (entry.kind === 'run:wake') {
      checkWoken(ledger, [{ run, entry }])
    } else if (run.status === 'running') {
      begin(ledger, account, 'reclaim', workerId, entry.seq, run)
    } else {
      extend(ledger, account, entry.seq)
      move(ledger, account, run.status === 'failed' ? 'fail' : 'recover')
    }
  }
  return reclaimed
}

function checkLeases(ledger: State, { workerId }: WorkerLease, leases: Held[]): Held[] {
  const held = [...ledger.accounts.values()].filter(
    (run) => run.worker === workerId && run.status === 'running' && !run.deleted,
  )
  const said = leases.map(({ runId, generation }) => `${runId} ${generation}`).toSorted()
  const known = held.map(({ id, generation }) => `${id} ${generation}`).toSorted()
  if (said.join() !== known.join()) {
    broken(ledger, `${workerId} holds ${known.join()}, its renewal said ${said.join()}`)
  }
  return leases
}

function checkActed(ledger: State, request: ActRequest, acted: Acted): Acted {
  const run = ledger.accounts.get(request.runId)
  if (run === undefined || run.deleted) return acted
  const { transition } = request
  const fenced = 'generation' in request && request.generation !== run.generation
  if (!acted.done) {
    if (isLegal(transition, run.status) && !fenced)
      broken(ledger, `${transition} of ${run.id} was refused`)
    return acted
  }
  if (fenced) broken(ledger, `a stale lease could ${transition} ${run.id}`)
  if (transition === 'retry') ledger.told.retried(run.id, acted.run.attempt)
  move(ledger, run, transition)
  if (raisesGeneration(transition)) raise(ledger, run, acted.run.generation)
  extend(ledger, run, acted.entry.seq)
  checkWoken(ledger, acted.woken)
  return acted
}

function checkRemoved(ledger: State, runId: string, removed: Removed): Removed {
  const run = ledger.accounts.get(runId)
  if (run === undefined || run.deleted) return removed
  if (removed.done !== isLegal('delete', run.status))
    broken(ledger, `${run.status} ${run.id} was ${removed.done ? '' : 'not '}deleted`)
  if (removed.done) forget(ledger, run.id)
  return removed
}

function begin(
  ledger: State,
  run: Account,
  transition: 'claim' | 'reclaim',
  worker: string,
  seq: number,
  { generation, attempt }: RunRecord,
): void {
  move(ledger, run, transition)
  raise(ledger, run, generation)
  extend(ledger, run, seq)
  run.worker = worker
  run.attempt = attempt
  run.holdsKey = run.concurrencyKey !== null
}

/** What the store writes for a run that nobody holds is no holder's, whatever its generation. */
const BY_STORE = -1

function extend(ledger: State, run: Account, seq: number, by = BY_STORE): void {
  if (seq !== run.lastSeq + 1) {
    broken(ledger, `entry ${seq} of ${run.id} follows entry ${run.lastSeq}`)
  }
  run.lastSeq = seq
  run.writtenBy.push(by)
}

function move(ledger: State, run: Account, transition: TransitionName): void {
  if (!isLegal(transition, run.status)) broken(ledger, `${transition} of ${run.status} ${run.id}`)
  run.status = transitions[transition].to ?? run.status
  if (run.status !== 'running') run.worker = null
  if (isTerminal(run.status)) run.holdsKey = false
}

function raise(ledger: State, run: Account, generation: number): void {
  if (generation !== run.generation + 1) {
    broken(ledger, `${run.id} went from generation ${run.generation} to ${generation}`)
  }
  run.generation = generation
}

function forget(ledger: State, id: string): void {
  const run = ledger.accounts.get(id)
  if (run === undefined) return
  if (!isTerminal(run.status)) broken(ledger, `${run.status} ${id} was deleted`)
  run.deleted = true
}

function broken(ledger: State, what: string): void {
  ledger.violations.push(what)
}
