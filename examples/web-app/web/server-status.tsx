import { useEffect, useState } from 'react'

const CHECK_MS = 1000

/** Whether the server answers, and a button that kills it. */
export function ServerStatus() {
  const [isUp, setUp] = useState(true)
  useEffect(() => {
    const check = () =>
      fetch('/api/durably/health').then(
        ({ ok }) => setUp(ok),
        () => setUp(false),
      )
    const timer = setInterval(() => void check(), CHECK_MS)
    return () => clearInterval(timer)
  }, [])
  const kill = () => {
    setUp(false)
    fetch('/api/kill', { method: 'POST' }).catch(() => {})
  }
  return (
    <div className="server">
      <span className={`dot ${isUp ? 'up' : 'down'}`} />
      <span role="status">{isUp ? 'Server is up' : 'Server is down'}</span>
      <button type="button" className="danger" onClick={kill} disabled={!isUp}>
        Kill it
      </button>
    </div>
  )
}
