import { parseArgs } from 'node:util'
import { startPostgres } from '../postgres-server.ts'
import { createRandom } from '../simulation/random.ts'
import { crowd } from './crowd.ts'
import { drivers, type Driver } from './places.ts'
import { torment } from './torment.ts'

// Kills thousands of workers, each at a write, a commit or a step, then lets clients do all that they can for so many
// seconds: `npm run torture -- --kills 1000 --seed 1 --crowd 60`. The kills need a tap on the driver, clients do not:
// `npm run torture -- --kills 0 --drivers postgres.js,node:sqlite`.
const { values } = parseArgs({
  options: {
    kills: { type: 'string', default: '1000' },
    seed: { type: 'string', default: '1' },
    crowd: { type: 'string', default: '60' },
    drivers: { type: 'string', default: 'better-sqlite3,libsql,postgres' },
  },
})
const chosen = values.drivers.split(',').map((name) => {
  const driver = drivers.find((known) => known === name)
  if (driver === undefined) throw new Error(`no driver "${name}"; there are ${drivers.join(', ')}`)
  return driver
})
const WORKERS = 4

const server = await startPostgres()
process.env.DURABLY_TEST_POSTGRES_URL = server.url
try {
  for (const driver of chosen) await killMany(driver)
  for (const driver of chosen) await crowdOne(driver)
} finally {
  await server.stop()
}

async function killMany(driver: Driver): Promise<void> {
  if (Number(values.kills) === 0) return
  const random = createRandom(Number(values.seed)).fork(driver)
  const startedAt = performance.now()
  const { kills, runs, violations } = await torment({
    driver,
    kills: Number(values.kills),
    workers: WORKERS,
    random: () => random.next(),
  })
  report(driver, `${kills} kills, ${runs} runs`, violations, startedAt)
}

async function crowdOne(driver: Driver): Promise<void> {
  const seconds = Number(values.crowd)
  if (seconds === 0) return
  const startedAt = performance.now()
  const { effects, violations } = await crowd(driver, seconds * 1000)
  report(driver, `${seconds} s of clients, ${effects} effects`, violations, startedAt)
}

function report(
  driver: Driver,
  done: string,
  violations: readonly string[],
  startedAt: number,
): void {
  const seconds = Math.round((performance.now() - startedAt) / 1000)
  console.log(`${driver.padEnd(18)}${done}, ${violations.length} violations, ${seconds} s`)
  for (const violation of violations) console.log(`  ${violation}`)
  if (violations.length > 0) process.exitCode = 1
}
