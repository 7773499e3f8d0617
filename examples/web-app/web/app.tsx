import { useState } from 'react'
import { AssistantPage } from './assistant-page.tsx'
import { ImportPage } from './import-page.tsx'
import { ServerStatus } from './server-status.tsx'

const pages = { Import: ImportPage, Assistant: AssistantPage }
type PageName = keyof typeof pages

export function App() {
  const [name, setName] = useState<PageName>('Import')
  const Page = pages[name]
  return (
    <>
      <header>
        <h1>Durably</h1>
        <nav>
          {(Object.keys(pages) as PageName[]).map((page) => (
            <button
              key={page}
              type="button"
              className="tab"
              aria-current={page === name ? 'page' : undefined}
              onClick={() => setName(page)}
            >
              {page}
            </button>
          ))}
        </nav>
        <ServerStatus />
      </header>
      <main>
        <Page />
      </main>
    </>
  )
}
