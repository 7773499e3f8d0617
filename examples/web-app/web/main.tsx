import { DurablyProvider } from '@coji/durably-react'
import { StrictMode } from 'react'
import { createRoot } from 'react-dom/client'
import { App } from './app.tsx'
import { client } from './client.ts'
import './style.css'

const root = document.getElementById('root')
if (root !== null) {
  createRoot(root).render(
    <StrictMode>
      <DurablyProvider durably={client}>
        <App />
      </DurablyProvider>
    </StrictMode>,
  )
}
