import { awaits } from '../../core/awaits.ts'
import type { RunRecord } from '../../core/run.ts'
import { isLegal, isTerminal, type RunStatus } from '../../core/transitions.ts'
import type { Send, Sent } from '../store.ts'
import type { Row, Session } from './database.ts'
import { arrive, type Arrival, type Deliver, type Letter } from './deliver.ts'
import type { LockedRun, ReadRuns } from './lock-runs.ts'
import { toNumber } from './run-row.ts'
import type { Sql } from './sql.ts'

export interface SendAll {
  /** The runs that the sends are for, to be locked. */
  recipients(session: Session, sends: readonly Send[]): Promise<string[]>
  /** Sends to runs that the transaction has locked. All others are not there. */
  all(
    session: Session,
    sends: readonly Send[],
    locked: ReadonlyMap<string, LockedRun>,
    now: number,
  ): Promise<Sent[]>
}

interface Token {
  readonly runId: string
  readonly name: string
  readonly expiresAt: number | null
  messageId: string | null
}

/** How things stand, the sends before included. */
interface State {
  readonly runs: Map<string, RunRecord>
  readonly tokens: ReadonlyMap<string, Token>
  /** Of messages that are in a mailbox, by `slot`. */
  readonly known: Set<string>
  readonly completed: { readonly hash: string; readonly id: string }[]
}

export function createSend(sql: Sql, readRuns: ReadRuns, deliver: Deliver): SendAll {
  const { mailbox, tokens } = sql.tables
  const selectTokens = sql.read(`
    select k.* from ${tokens} k where k.hash in (select t.value from ${sql.texts('t', '$hashes')})`)
  const selectKnown = sql.read(`
    select m.run_id, m.id
    from ${sql.rows('b', '$sent', { run_id: 'text', id: 'text' })}
    join ${mailbox} m on m.run_id = b.run_id and m.id = b.id and m.kind <> 'run'`)
  const complete = sql.write(`
    update ${tokens} as k set message_id = b.id
    from ${sql.rows('b', '$completed', { hash: 'text', id: 'text' })} where k.hash = b.hash`)

  async function readTokens(session: Session, sends: readonly Send[]): Promise<Map<string, Token>> {
    const hashes = sends.flatMap(({ to }) => ('tokenHash' in to ? [to.tokenHash] : []))
    if (hashes.length === 0) return new Map()
    const rows = await session.rows(selectTokens, { hashes: JSON.stringify(hashes) })
    return new Map(rows.map((row) => [row.hash as string, toToken(row)]))
  }

  async function readState(
    session: Session,
    sends: readonly Send[],
    locked: ReadonlyMap<string, LockedRun>,
  ): Promise<State> {
    const known = await readTokens(session, sends)
    const sent = sends.flatMap(({ id, to }) => {
      const runId = runOf(to, known)
      return runId !== null && locked.has(runId) ? [{ run_id: runId, id }] : []
    })
    const runs = await readRuns(
      session,
      sent.map((one) => one.run_id),
    )
    const rows = await session.rows(selectKnown, { sent: JSON.stringify(sent) })
    const slots = rows.map((row) => slot(row.run_id as string, row.id as string))
    return { runs, tokens: known, known: new Set(slots), completed: [] }
  }

  return {
    recipients: async (session, sends) => {
      const known = await readTokens(session, sends)
      return sends.flatMap(({ to }) => runOf(to, known) ?? [])
    },
    all: async (session, sends, locked, now) => {
      if (sends.length === 0) return []
      const state = await readState(session, sends, locked)
      const outcomes = sends.map((send) => sendOne(state, send, now))
      const arrivals = outcomes.flatMap(({ arrival }) => arrival ?? [])
      const entries = await deliver(session, arrivals, now)
      if (state.completed.length > 0) {
        await session.change(complete, { completed: JSON.stringify(state.completed) })
      }
      return outcomes.map(({ answer, arrival }) =>
        arrival?.wakes ? { ...answer, entry: entries.get(arrival.run.id) ?? null } : answer,
      )
    },
  }
}

interface Outcome {
  readonly answer: Sent
  readonly arrival: Arrival | null
}

function sendOne(state: State, send: Send, now: number): Outcome {
  const { id, to, kind, data } = send
  const hash = 'tokenHash' in to ? to.tokenHash : null
  const token = hash === null ? undefined : state.tokens.get(hash)
  const run = state.runs.get(runOf(to, state.tokens) ?? '')
  if (run === undefined) return refused('unknown', null)
  if (state.known.has(slot(run.id, id))) return done(run, false)
  const letter = { id, kind, name: token?.name ?? send.name, data }
  const reason = reasonAgainst(run, token, letter, now)
  if (reason !== null) return refused(reason, run.status)
  const arrival = arrive(run, letter, now)
  if (hash !== null && token !== undefined) {
    token.messageId = id
    state.completed.push({ hash, id })
  }
  state.known.add(slot(run.id, id))
  state.runs.set(run.id, arrival.run)
  return { ...done(arrival.run, true), arrival }
}

type Reason = Extract<Sent, { done: false }>['reason']

function done(run: RunRecord, isNew: boolean): Outcome {
  return { answer: { done: true, isNew, run, entry: null }, arrival: null }
}

function refused(reason: Reason, status: RunStatus | null): Outcome {
  return { answer: { done: false, reason, status }, arrival: null }
}

function reasonAgainst(
  run: RunRecord,
  token: Token | undefined,
  letter: Letter,
  now: number,
): Reason | null {
  if (token !== undefined && token.messageId !== null) return 'used'
  if (isTerminal(run.status)) return 'ended'
  if (token !== undefined && token.expiresAt !== null && token.expiresAt <= now) return 'expired'
  const waits = isLegal('wake', run.status)
  return letter.kind === 'wake' && waits && !awaits(run.waitingFor, letter) ? 'not-waiting' : null
}

function runOf(to: Send['to'], tokens: ReadonlyMap<string, Token>): string | null {
  return 'runId' in to ? to.runId : (tokens.get(to.tokenHash)?.runId ?? null)
}

function slot(runId: string, id: string): string {
  return JSON.stringify([runId, id])
}

function toToken(row: Row): Token {
  return {
    runId: row.run_id as string,
    name: row.name as string,
    expiresAt: toNumber(row.expires_at),
    messageId: row.message_id as string | null,
  }
}
