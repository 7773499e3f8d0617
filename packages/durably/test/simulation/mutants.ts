/** A way to break a promise: texts of the sources, and what stands there instead. */
export interface Mutant {
  readonly name: string
  readonly edits: readonly Edit[]
}

interface Edit {
  /** Below `src`. */
  readonly file: string
  /** Stands in the file once. */
  readonly find: string
  readonly replace: string
}

const mutant = (name: string, ...edits: Edit[]): Mutant => ({ name, edits })

/** Bounds that are met all the time, and break no promise: what is given up then is made anew. */
export const shortages: readonly Mutant[] = [
  mutant('one parked copy is kept', {
    file: 'engine/parked-runs.ts',
    find: 'MAX_PARKED = 1000',
    replace: 'MAX_PARKED = 1',
  }),
  mutant('journals are read three entries at a time', {
    file: 'engine/history.ts',
    find: 'PAGE_SIZE = 1000',
    replace: 'PAGE_SIZE = 3',
  }),
  mutant(
    'a commit has two entries, and a transaction one commit',
    {
      file: 'engine/outbox.ts',
      find: 'MAX_ENTRIES = 1000',
      replace: 'MAX_ENTRIES = 2',
    },
    {
      file: 'engine/boarding.ts',
      find: 'MAX_SOURCES = 1000',
      replace: 'MAX_SOURCES = 1',
    },
  ),
]

/** Every one of these must be noticed by the simulation. */
export const mutants: readonly Mutant[] = [
  mutant('the fence is off in the commit of steps', {
    file: 'store/memory/commit.ts',
    find: 'if (!isHeld(record, lease.generation)) {',
    replace: 'if (!isHeld(record, record.generation)) {',
  }),
  mutant('the fence is off in completion', {
    file: 'store/memory/commit.ts',
    find: 'if (!isHeld(record, lease.generation)) {',
    replace: 'if (!isHeld(record, lease.generation) && request.transition === undefined) {',
  }),
  mutant('the fence is off in renewal', {
    file: 'store/sql/workers.ts',
    find: 'where r.worker = $workerId::text order by r.id',
    replace: 'where $workerId::text is not null and r.worker is not null order by r.id',
  }),
  mutant('a step is acknowledged before it is committed', {
    file: 'engine/outbox.ts',
    find: '  box.waiting.push(item)\n  if',
    replace: '  box.waiting.push({ ...item, onCommitted: () => {} })\n  item.onCommitted?.()\n  if',
  }),
  mutant('a key is freed and nobody is promoted', {
    file: 'store/sql/write.ts',
    find: 'await keys.settle(session, counts.keys())',
    replace: 'if (runs.length > 0) await keys.settle(session, counts.keys())',
  }),
  mutant('two runs of a key are promoted', {
    file: 'store/sql/keys.ts',
    find: `    where r.id = (\${firstInLine(runs)})
      and not exists (`,
    replace: `    where r.concurrency_key = t.value and r.status = 'pending' and r.wake_at is null
      and not exists (`,
  }),
  mutant('a cancel does not raise the generation', {
    file: 'store/sql/act.ts',
    find: '${setEnded(transitions.cancel.to)}, generation = generation + 1',
    replace: '${setEnded(transitions.cancel.to)}',
  }),
  mutant('the journal is read before the claim', {
    file: 'engine/history.ts',
    find: 'let more = run.generation > 1',
    replace: 'let more = run.generation > 2',
  }),
  mutant('a COMMIT whose answer was lost counts as lost', {
    file: 'store/sql/commit.ts',
    find: 'isHeld(run, lease.generation) : toBoolean(row.is_written)',
    replace: 'isHeld(run, lease.generation) : false',
  }),
  mutant('a COMMIT whose answer was lost counts as committed', {
    file: 'store/sql/commit.ts',
    find: "const answers: Answer[] = commits.map(() => 'lost')",
    replace:
      "if (commits.length > 0) return commits.map(() => 'committed')\n    const answers: Answer[] = []",
  }),
  mutant('runs are reclaimed though the lease holds', {
    file: 'store/memory/reclaim.ts',
    find: 'return expiresAt <= now',
    replace: 'return expiresAt <= now + 2400',
  }),
  mutant('a position is used again after a reclaim', {
    file: 'engine/execution.ts',
    find: '    lastSeq: entry.seq,',
    replace: '    lastSeq: entry.seq - (run.attempt > 1 ? 1 : 0),',
  }),
  mutant(
    'a wake-up is lost and there is no poll',
    { file: 'engine/session.ts', find: ': pollMs\n', replace: ': 1e9\n' },
    {
      file: 'engine/notifier.ts',
      find: 'await within(env, SILENT_MS, wakeups.notify(text), NOT_SENT)',
      replace: 'await Promise.resolve()',
    },
  ),
  mutant('a caught failure is executed again on replay', {
    file: 'engine/history.ts',
    find: '      recorded.push(outcome(past, null, (data as EntryDataByKind[typeof kind]).error))\n',
    replace: '',
  }),
  mutant('outcomes are delivered in the order of the calls', {
    file: 'engine/deliveries.ts',
    find: '  line.asked[position] = deliver\n',
    replace: '  if (position >= 0) return deliver()\n  line.asked[position] = deliver\n',
  }),
  mutant('who asks late for an outcome gets it after the next one', {
    file: 'engine/deliveries.ts',
    find: 'if (position === line.next && line.skipped === 0) serve(line)',
    replace: 'if (position === line.next) serve(line)',
  }),
  mutant("a member's failure spreads to its batch", {
    file: 'engine/writer.ts',
    find: 'if (isRefused && isOne(sending)) return',
    replace: 'if (isRefused) return',
  }),
  mutant('a retry forgets completed steps', {
    file: 'engine/history.ts',
    find: 'reading.recorded = reading.recorded.filter(({ data }) => data !== null)',
    replace: 'reading.recorded = []',
  }),
  mutant('a claimed run that nobody holds', {
    file: 'engine/execution.ts',
    find: '  const life = begin(claim, options)\n  void live',
    replace:
      '  const life = begin(claim, options)\n  if (claim.run.generation === 2) return life.execution\n  void live',
  }),
  mutant("a claim does not renew its worker's row", {
    file: 'store/sql/workers.ts',
    find: 'await renewLease(session, request, now, request.jobs)',
    replace: 'if (request.limit < 0) await renewLease(session, request, now, request.jobs)',
  }),
  mutant('a park does not look whether something was sent', {
    file: 'store/memory/commit.ts',
    find: 'transition.inbox !== row.record.inbox',
    replace: 'transition.inbox < -1',
  }),
  mutant('a signal that is sent again is another one', {
    file: 'store/memory/send.ts',
    find: "letter.kind !== 'run' && letter.id === id",
    replace: "letter.kind === 'run' && letter.id === id",
  }),
  mutant('what a wait took stays in the mailbox', {
    file: 'engine/outbox.ts',
    find: 'consumes: items.flatMap(({ consumes }) => consumes ?? []),',
    replace: 'consumes: [],',
  }),
  mutant('the end of a run is for the first wait only', {
    file: 'engine/waits.ts',
    find: 'of [messages, ends.values()]',
    replace: 'of [messages]',
  }),
  mutant('a parked copy goes on though another had the run', {
    file: 'engine/execution.ts',
    find: 'isNext: ({ run }) => run.generation === generation + 1,',
    replace: 'isNext: ({ run }) => run.generation > generation,',
  }),
  mutant('a wait ends before what ended it is stored', {
    file: 'engine/wait.ts',
    find: '    outbox.add({ ...item, ...handsOut, onCommitted, onRejected: failed })',
    replace: '    onCommitted()\n    outbox.add({ ...item, ...handsOut, onRejected: failed })',
  }),
  mutant('a write that is not answered is waited for', {
    file: 'engine/writer.ts',
    find: 'GIVE_UP_MS = 10_000',
    replace: 'GIVE_UP_MS = 1e9',
  }),
  mutant('what else is not answered is waited for', {
    file: 'engine/gate.ts',
    find: 'SILENT_MS = 10_000',
    replace: 'SILENT_MS = 1e9',
  }),
  mutant('a caller whose write is not answered is not told', {
    file: 'engine/patience.ts',
    find: '    for (const { lose } of late) lose()',
    replace: '    for (const { lose } of late.slice(1)) lose()',
  }),
]
