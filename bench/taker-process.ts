import { openHandover } from './handover.ts'

// Takes rows, and tells the process that started it when it had each, by the clock they share.
const [address = '', lookMs = ''] = process.argv.slice(2)
const handover = await openHandover(address)
const taking = handover.take(Number(lookMs), () => {
  process.send?.({ at: String(process.hrtime.bigint()) })
})
process.send?.({ at: '0' })
await taking
