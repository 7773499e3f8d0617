import { connect, type Socket } from 'node:net'

// Many clients of event streams, as cheap as they can be, in a process of their own.

export type Order =
  | { readonly kind: 'open'; readonly port: number; readonly path: string; readonly count: number }
  | { readonly kind: 'close' }
  /** Opens and closes, one after the other. */
  | { readonly kind: 'cycle'; readonly port: number; readonly path: string; readonly count: number }

export interface Report {
  /** Milliseconds from the end of a step to its arrival, of each event that each client got. */
  readonly delays: readonly number[]
}

const sockets: Socket[] = []
let delays: number[] = []

process.on('message', (order: Order) => void obey(order))

async function obey(order: Order): Promise<void> {
  if (order.kind === 'close') {
    for (const socket of sockets.splice(0)) socket.destroy()
    process.send?.({ delays } satisfies Report)
    delays = []
    return
  }
  for (let i = 0; i < order.count; i++) {
    const socket = await open(order.port, order.path)
    if (order.kind === 'open') sockets.push(socket)
    else socket.destroy()
  }
  process.send?.({ delays: [] } satisfies Report)
}

/** Resolves when the stream has begun. */
function open(port: number, path: string): Promise<Socket> {
  const socket = connect(port, '127.0.0.1')
  socket.setEncoding('utf8')
  socket.write(`GET ${path} HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n\r\n`)
  return new Promise((resolve, reject) => {
    socket.once('error', reject)
    socket.on('data', (text: string) => {
      resolve(socket)
      const arrivedAt = performance.timeOrigin + performance.now()
      for (const [, endedAt] of text.matchAll(/"output":(\d+\.\d+)/g)) {
        delays.push(arrivedAt - Number(endedAt))
      }
    })
  })
}
