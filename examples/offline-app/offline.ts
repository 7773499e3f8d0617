import { createHash } from 'node:crypto'
import type { Plugin } from 'vite'

/** What the service worker does; `FILES` and `NAME` are written above it. */
const worker = `
addEventListener('install', (event) => {
  event.waitUntil(caches.open(NAME).then((cache) => cache.addAll(FILES)))
})

addEventListener('activate', (event) => {
  const clear = async () => {
    const old = (await caches.keys()).filter((name) => name !== NAME)
    await Promise.all(old.map((name) => caches.delete(name)))
  }
  event.waitUntil(clear())
})

addEventListener('fetch', (event) => {
  const { request } = event
  // Servers that allow other origins say that answers vary by them. These do not.
  const kept = async () => (await caches.match(request, { ignoreVary: true })) ?? fetch(request)
  // The page itself from the network where there is one, so that a new version shows.
  if (request.mode === 'navigate') event.respondWith(fetch(request).catch(kept))
  else event.respondWith(kept())
})
`

/** Adds a service worker that keeps all that was built, headers included: the page opens without a network too. */
export function offline(): Plugin {
  return {
    name: 'offline',
    apply: 'build',
    generateBundle(_, bundle) {
      const files = ['./', ...Object.keys(bundle).filter((name) => name !== 'index.html')]
      // The names of the files have hashes of what is in them.
      const name = createHash('sha256').update(JSON.stringify(bundle)).digest('hex')
      const source = `const NAME = '${name}'\nconst FILES = ${JSON.stringify(files)}\n${worker}`
      this.emitFile({ type: 'asset', fileName: 'service-worker.js', source })
    },
  }
}
