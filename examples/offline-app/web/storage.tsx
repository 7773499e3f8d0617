import { useEffect, useState } from 'react'
import { tab } from './darkroom.ts'

/** Whether the browser keeps what is stored, and a button that asks it to. */
export function Storage() {
  const [state, setState] = useState<'unknown' | 'kept' | 'clearable' | 'refused'>('unknown')
  useEffect(() => {
    const look = async () => setState((await (await tab).isPersistent()) ? 'kept' : 'clearable')
    look().catch(() => setState('clearable'))
  }, [])
  const ask = () =>
    navigator.storage.persist().then(
      (isKept) => setState(isKept ? 'kept' : 'refused'),
      () => setState('refused'),
    )
  return (
    <span className="storage">
      {state === 'kept' && <span className="muted">Kept until you delete it</span>}
      {state === 'clearable' && <span className="muted">Cleared when the disk is full</span>}
      {state === 'refused' && <span className="muted">The browser promises nothing</span>}
      {(state === 'clearable' || state === 'refused') && (
        <button type="button" onClick={() => void ask()}>
          Keep it
        </button>
      )}
    </span>
  )
}
