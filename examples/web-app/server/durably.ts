import { createDurably } from '@coji/durably'
import { sqliteDialect } from '@coji/durably/sqlite'
import { answerQuestion } from './answer-question.ts'
import { database } from './database.ts'
import { importCsv } from './import-csv.ts'

export const durably = createDurably({
  dialect: sqliteDialect({ database }),
  jobs: { importCsv, answerQuestion },
  maxConcurrentRuns: 4,
  // There is one server: when it comes back, it takes up at once what it left.
  workerName: 'server',
})
