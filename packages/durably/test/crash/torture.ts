import { parseArgs } from 'node:util'
import { startPostgres } from '../postgres-server.ts'
import { createRandom } from '../simulation/random.ts'
import type { Driver } from './places.ts'
import { torment } from './torment.ts'

// Kills thousands of workers, each at a write, a commit or a step: `npm run torture -- --kills 1000 --seed 1`.
const { values } = parseArgs({
  options: {
    kills: { type: 'string', default: '1000' },
    seed: { type: 'string', default: '1' },
  },
})
const drivers: readonly Driver[] = ['better-sqlite3', 'libsql', 'postgres']
const WORKERS = 4

const server = await startPostgres()
process.env.DURABLY_TEST_POSTGRES_URL = server.url
try {
  for (const driver of drivers) await tortureOne(driver)
} finally {
  await server.stop()
}

async function tortureOne(driver: Driver): Promise<void> {
  const startedAt = performance.now()
  const random = createRandom(Number(values.seed)).fork(driver)
  const { kills, runs, violations } = await torment({
    driver,
    kills: Number(values.kills),
    workers: WORKERS,
    random: () => random.next(),
  })
  const seconds = Math.round((performance.now() - startedAt) / 1000)
  console.log(
    `${driver.padEnd(16)}${kills} kills, ${runs} runs, ${violations.length} violations, ${seconds} s`,
  )
  for (const violation of violations) console.log(`  ${violation}`)
  if (violations.length > 0) process.exitCode = 1
}
