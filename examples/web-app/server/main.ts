import { randomUUID } from 'node:crypto'
import { readFile, writeFile } from 'node:fs/promises'
import { extname, join } from 'node:path'
import { createDurablyHandler } from '@coji/durably'
import { serve } from '@hono/node-server'
import { Hono } from 'hono'
import { folder } from './database.ts'
import { durably } from './durably.ts'

await durably.init()
const handler = createDurablyHandler(durably)
const app = new Hono()

app.all('/api/durably/*', (c) => handler.handle(c.req.raw, '/api/durably'))

app.post('/api/upload', async (c) => {
  const file = `${randomUUID()}.csv`
  await writeFile(join(folder, file), await c.req.text())
  return c.json({ file })
})

// What no app should have: it dies at once, as if the power failed. Its supervisor starts it again.
app.post('/api/kill', () => process.kill(process.pid, 'SIGKILL') && new Response())

const types: Readonly<Record<string, string>> = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript',
  '.css': 'text/css',
  '.svg': 'image/svg+xml',
}
app.get('*', async (c) => {
  const path = c.req.path === '/' ? '/index.html' : c.req.path
  const type = types[extname(path)]
  if (type === undefined || path.includes('..')) return c.notFound()
  const page = await readFile(join(import.meta.dirname, '../dist', path)).catch(() => null)
  return page === null ? c.notFound() : c.body(page, 200, { 'content-type': type })
})

const port = Number(process.env.PORT ?? 8787)
const server = serve({ fetch: app.fetch, port, hostname: 'localhost' }, () => {
  console.log(`http://localhost:${port}`)
})
process.once('SIGTERM', () => {
  server.close()
  void durably.stop({ timeout: '2s' }).then(() => process.exit())
})
