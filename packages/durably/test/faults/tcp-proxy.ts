import { once } from 'node:events'
import { connect, createServer, type AddressInfo, type Socket } from 'node:net'
import { onTestFinished } from 'vitest'

/** The way to a server, which can be broken. */
export interface TcpProxy {
  /** The address of the server, through the proxy. */
  readonly url: string
  /** Connections accepted so far: a hot loop makes thousands. */
  accepted(): number
  /** Cuts every connection; new ones are cut at once until `heal`. */
  cut(): void
  /** Ends what the server says on every connection, and hears the client no more. */
  halfClose(): void
  /** Passes nothing on, in either direction, until `heal`. */
  stall(): void
  /** Passes nothing on any more on the connections that there are; new ones work. */
  mute(): void
  heal(): void
}

export async function startProxy(serverUrl: string): Promise<TcpProxy> {
  const { hostname, port } = new URL(serverUrl)
  const pairs = new Set<readonly [client: Socket, server: Socket]>()
  let accepted = 0
  let state: 'open' | 'cut' | 'stalled' = 'open'

  const proxy = createServer({ allowHalfOpen: true }, (client) => {
    accepted++
    if (state === 'cut') return client.destroy()
    const server = connect({ host: hostname, port: Number(port), allowHalfOpen: true })
    const pair = [client, server] as const
    pairs.add(pair)
    for (const [from, to] of [pair, [server, client] as const]) {
      from.on('error', () => to.destroy())
      from.on('close', () => {
        to.destroy()
        pairs.delete(pair)
      })
      from.pipe(to)
      if (state === 'stalled') from.pause()
    }
    return undefined
  })
  proxy.listen(0, '127.0.0.1')
  await once(proxy, 'listening')
  onTestFinished(() => {
    for (const [client] of pairs) client.destroy()
    proxy.close()
  })
  const url = new URL(serverUrl)
  url.port = String((proxy.address() as AddressInfo).port)
  const sockets = (): Socket[] => [...pairs].flat()
  return {
    url: url.href,
    accepted: () => accepted,
    cut() {
      state = 'cut'
      for (const socket of sockets()) socket.destroy()
    },
    halfClose() {
      for (const [client, server] of pairs) {
        client.unpipe(server)
        server.unpipe(client)
        client.end()
      }
    },
    stall() {
      state = 'stalled'
      for (const socket of sockets()) socket.pause()
    },
    mute() {
      for (const [client, server] of pairs) {
        client.unpipe(server)
        server.unpipe(client)
      }
    },
    heal() {
      state = 'open'
      for (const socket of sockets()) socket.resume()
    },
  }
}
