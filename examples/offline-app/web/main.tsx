import { DurablyProvider } from '@coji/durably-react'
import { StrictMode } from 'react'
import { createRoot } from 'react-dom/client'
import { App } from './app.tsx'
import { opened } from './darkroom.ts'
import { ErrorBoundary } from './error-boundary.tsx'
import './style.css'

// Once all is well: a worker that was served without the headers would keep the scripts without them. Development
// servers have none.
if (import.meta.env.PROD) {
  opened.then(() => navigator.serviceWorker.register('./service-worker.js')).catch(() => {})
}

const root = document.getElementById('root')
if (root !== null) {
  createRoot(root).render(
    <StrictMode>
      <ErrorBoundary>
        <DurablyProvider durably={opened} fallback={<p className="muted opening">Opening…</p>}>
          <App />
        </DurablyProvider>
      </ErrorBoundary>
    </StrictMode>,
  )
}
