import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { airportsFile, createAirportsTable, inspectAirports, readAirports } from './airports.ts'
import { openDurably } from './durably.ts'
import { createScreen } from './screen.ts'
import { createStory } from './story.ts'

// In the middle of the fourth batch of rows.
const KILL_AT_ROW = 1300

const startedAt = Date.now()
const folder = mkdtempSync(join(tmpdir(), 'durably-demo-'))
const databaseFile = join(folder, 'demo.db')
const airports = readAirports(airportsFile).length
const screen = createScreen(process.stdout)
const story = createStory(screen)

// This process is a client: it triggers the run and follows it. Workers are processes of their own.
const { durably, db, importAirports } = openDurably(databaseFile)
let worker: ChildProcess | undefined
try {
  story.title(airports)
  await durably.migrate()
  await createAirportsTable(db)
  const run = await importAirports.trigger({ file: airportsFile })
  worker = startWorker(1)
  await Promise.all([follow(run.id), durably.waitForRun(run.id, { timeout: '60s' })])

  const findings = await inspectAirports(db, airportsFile)
  const { rows, codes, sameAsFile } = findings
  const isRight = rows === airports && codes === airports && sameAsFile
  story.ended(findings, isRight, Date.now() - startedAt)
  if (!isRight) process.exitCode = 1
} finally {
  if (worker?.kill('SIGTERM') === true) await once(worker, 'exit')
  await durably.close()
  rmSync(folder, { recursive: true, force: true })
}

function startWorker(number: number): ChildProcess {
  const script = fileURLToPath(new URL('worker.ts', import.meta.url))
  const child = spawn(process.execPath, [script, databaseFile], { stdio: 'inherit' })
  story.workerStarted(number, child.pid)
  return child
}

/** Tells what happens to the run, whichever process makes it happen, and kills its first worker on the way. */
async function follow(runId: string): Promise<void> {
  const kept: string[] = []
  const said = new Map<string | null, string>()
  let killedAt: number | undefined
  // Steps follow each other closely: the first to complete after the takeover is the one that was cut off.
  let takenOver: 'no' | 'just now' | 'yes' = 'no'

  for await (const event of durably.subscribe(runId)) {
    if (event.type === 'run:start' && killedAt !== undefined) {
      takenOver = 'just now'
      story.tookOver(Date.parse(event.timestamp) - killedAt)
      for (const name of kept) story.kept(name)
    }
    if (event.type === 'run:progress') {
      const { current, total = airports, message } = event.progress
      screen.bar(current, total)
      if (killedAt === undefined && current >= KILL_AT_ROW) {
        worker?.kill('SIGKILL')
        killedAt = Date.now()
        story.killed(message)
        worker = startWorker(2)
      }
    }
    if (event.type === 'log:write') said.set(event.stepName, event.message)
    if (event.type === 'step:complete') {
      const { stepName } = event
      const tell = takenOver === 'just now' ? story.ranAgain : story.ran
      tell(stepName, said.get(stepName))
      if (takenOver === 'no') kept.push(stepName)
      else takenOver = 'yes'
    }
  }
}
