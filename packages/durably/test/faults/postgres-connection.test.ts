import { setTimeout as delay } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { openSchema } from '../store/postgres-schema.ts'
import { startLoadedWorker } from './loaded-worker.ts'
import { startProxy, type TcpProxy } from './tcp-proxy.ts'

const OUTAGE_MS = 1500

const faults: [name: string, bring: (proxy: TcpProxy) => void, isSaid: boolean][] = [
  ['are cut', (proxy) => proxy.cut(), true],
  ['are closed by one side', (proxy) => proxy.halfClose(), true],
  ['stall', (proxy) => proxy.stall(), false],
]

test.each(faults)(
  'connections that %s cost time, and nothing else',
  async (_, bring, isSaid) => {
    const schema = await openSchema()
    const proxy = await startProxy(process.env.DURABLY_TEST_POSTGRES_URL ?? '')
    const options = `-c search_path=${schema.name}`
    const worker = await startLoadedWorker({ connectionString: proxy.url, options })

    const acceptedBefore = proxy.accepted()
    bring(proxy)
    const triggered = worker.trigger()
    await delay(OUTAGE_MS)
    expect(proxy.accepted() - acceptedBefore).toBeLessThan(100)
    if (isSaid) expect(worker.errors).not.toEqual([])
    proxy.heal()
    await worker.expectAllDone(await triggered)
  },
  40_000,
)
