import { createDurably } from '@coji/durably'
import { sqliteDialect } from '@coji/durably/sqlite'
import { answerQuestion } from './answer-question.ts'
import { database } from './database.ts'
import { importCsv } from './import-csv.ts'

export const durably = createDurably({
  dialect: sqliteDialect({ database }),
  jobs: { importCsv, answerQuestion },
  maxConcurrentRuns: 4,
  // Short, so that one sees soon that a run goes on after its server was killed.
  heartbeatInterval: '500ms',
  staleThreshold: '2s',
})
