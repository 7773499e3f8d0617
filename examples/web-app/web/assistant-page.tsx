import { useState, type SyntheticEvent } from 'react'
import { useJob, useJobStream } from './client.ts'
import { History } from './history.tsx'
import { RunButtons } from './run-buttons.tsx'
import { StatusBadge } from './status-badge.tsx'

export function AssistantPage() {
  const job = useJob('answer-question')
  const { chunks } = useJobStream<string>({ runId: job.currentRunId, name: 'words' })
  const [question, setQuestion] = useState('What happens if the server crashes?')

  const ask = (event: SyntheticEvent) => {
    event.preventDefault()
    void job.trigger({ question })
  }

  return (
    <>
      <section>
        <h2>Ask a model</h2>
        <form className="row" onSubmit={ask}>
          <input
            type="text"
            aria-label="Question"
            value={question}
            onChange={(event) => setQuestion(event.target.value)}
          />
          <button type="submit" className="primary" disabled={question.trim() === ''}>
            Ask
          </button>
        </form>
        {job.triggerError !== null && (
          <p className="error" role="alert">
            {job.triggerError.message}
          </p>
        )}
      </section>
      {job.run !== null && job.status !== null && (
        <section aria-label="Answer">
          <div className="row">
            <h2>{job.run.payload.question}</h2>
            <StatusBadge status={job.status} />
            <RunButtons run={job.run} />
          </div>
          <p className={`answer ${job.isActive ? 'typing' : ''}`}>{chunks.join('')}</p>
          {job.error !== null && <p className="error">{job.error}</p>}
        </section>
      )}
      <History jobName="answer-question" current={job.currentRunId} />
    </>
  )
}
