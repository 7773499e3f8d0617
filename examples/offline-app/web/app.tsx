import { Bench } from './bench.tsx'
import { Gallery } from './gallery.tsx'
import { History } from './history.tsx'
import { NewPicture } from './new-picture.tsx'
import { Storage } from './storage.tsx'
import { WorkingTab } from './working-tab.tsx'

export function App() {
  return (
    <>
      <header>
        <h1>Darkroom</h1>
        <WorkingTab />
        <Storage />
      </header>
      <main>
        <NewPicture />
        <Bench />
        <Gallery />
        <History />
      </main>
    </>
  )
}
