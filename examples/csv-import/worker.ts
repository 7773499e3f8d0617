import { openDurably } from './durably.ts'

const [file] = process.argv.slice(2)
if (file === undefined) throw new Error('usage: node worker.ts <database file>')

const { durably } = openDurably(file)
process.once('SIGTERM', () => void durably.close())
await durably.init()
