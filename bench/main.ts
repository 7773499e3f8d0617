import { cpus } from 'node:os'
import { openLibsql, openPostgres, openSqlite, type Database } from './databases.ts'
import { measureLargeTables, measureReplay } from './large-tables.ts'
import { measureFollowing, measureLatency, measureLatencyElsewhere } from './latency.ts'
import { measureStreams } from './streams.ts'
import { measureThroughput } from './throughput.ts'
import { measureTimers, measureWaking, measureWarmth } from './waiting.ts'

const databases: Readonly<Record<string, () => Database | Promise<Database>>> = {
  sqlite: () => openSqlite('kysely'),
  'sqlite-drop-in': () => openSqlite('drop-in'),
  libsql: openLibsql,
  postgres: () => openPostgres('kysely'),
  'postgres-drop-in': () => openPostgres('drop-in'),
}

const measures: Readonly<Record<string, (database: Database) => Promise<void>>> = {
  throughput: measureThroughput,
  latency: measureLatency,
  elsewhere: measureLatencyElsewhere,
  following: measureFollowing,
  replay: measureReplay,
  large: measureLargeTables,
  warmth: measureWarmth,
  timers: measureTimers,
  waking: measureWaking,
  streams: measureStreams,
}

/** `npm run bench -- [databases] [measures]`, each a list with commas; all by default. */
const [wantedDatabases = 'all', wantedMeasures = 'all'] = process.argv.slice(2)

console.log(`Node ${process.version}, ${cpus().length} cores, ${cpus()[0]?.model}`)
for (const [name, open] of chosen(databases, wantedDatabases)) {
  for (const [, measure] of chosen(measures, wantedMeasures)) {
    const database = await open()
    console.log(`\n${name}: ${database.durability}`)
    await measure(database)
    await database.close()
  }
}
process.exit()

function chosen<T>(all: Readonly<Record<string, T>>, wanted: string): [string, T][] {
  if (wanted === 'all') return Object.entries(all)
  return wanted.split(',').map((name) => {
    const one = all[name]
    if (one === undefined) throw new Error(`no "${name}"; there are ${Object.keys(all).join(', ')}`)
    return [name, one]
  })
}
