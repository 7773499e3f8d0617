import { Component, type ReactNode } from 'react'

interface State {
  readonly error: Error | null
}

/** Shows what went wrong in place of the app. React has a class for this, and no hook. */
export class ErrorBoundary extends Component<{ readonly children: ReactNode }, State> {
  override state: State = { error: null }

  static getDerivedStateFromError(error: Error): State {
    return { error }
  }

  override render(): ReactNode {
    const { error } = this.state
    if (error === null) return this.props.children
    return (
      <main>
        <section role="alert">
          <h1>The darkroom cannot open here</h1>
          <p className="error">{error.message}</p>
          <p className="muted">Nothing that was stored before is lost by this.</p>
          <div className="row">
            <button type="button" className="primary" onClick={() => location.reload()}>
              Try again
            </button>
          </div>
        </section>
      </main>
    )
  }
}
