import { spawn, type ChildProcess } from 'node:child_process'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'

/** Starts the server again whenever it died. */
let server: ChildProcess
let isStopping = false
for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.once(signal, () => {
    isStopping = true
    server.kill('SIGTERM')
  })
}
do {
  server = spawn(process.execPath, [join(import.meta.dirname, 'main.ts')], { stdio: 'inherit' })
  await new Promise((resolve) => server.once('exit', resolve))
  if (!isStopping) await sleep(1500)
} while (!isStopping)
