import { useSyncExternalStore } from 'react'
import { work } from './darkroom.ts'

/** Which of the tabs works. */
export function WorkingTab() {
  const isHere = useSyncExternalStore(work.subscribe, work.isHere)
  return (
    <span className="working">
      <span className={isHere ? 'dot' : 'dot elsewhere'} />
      <span role="status">{isHere ? 'This tab works' : 'Another tab works'}</span>
    </span>
  )
}
