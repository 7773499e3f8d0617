import type { Codec } from '../core/codec.ts'
import type { Env } from '../core/env.ts'
import type { RunRecord } from '../core/run.ts'
import type { StepInfo, StepLog } from '../core/step-context.ts'
import { createChunks, type Chunks } from './chunks.ts'
import type { Outbox } from './outbox.ts'
import type { Past } from './past.ts'
import type { RunLog } from './run-log.ts'

/** What the attempts of one execution share. */
export interface AttemptInfoOptions {
  readonly run: RunRecord
  readonly outbox: Outbox
  readonly log: RunLog
  readonly env: Env
  readonly codec: Codec
}

/** What a step's function is told of its attempt. Few write streams: what it takes to do so is made when one does. */
export class AttemptInfo implements StepInfo {
  readonly attempt: number
  readonly idempotencyKey: string
  readonly log: StepLog
  readonly stream: StepInfo['stream']
  readonly #options: AttemptInfoOptions
  readonly #past: Past
  readonly #signal: AbortSignal
  #chunks: Chunks | null = null
  #isOver = false

  constructor(options: AttemptInfoOptions, past: Past, signal: AbortSignal) {
    this.attempt = past.failures + 1
    this.idempotencyKey = `${options.run.id}:${past.name}`
    this.log = options.log.ofStep(past.name)
    this.stream = (name) => (this.#chunks ??= this.#createChunks()).open(name)
    this.#options = options
    this.#past = past
    this.#signal = signal
  }

  /** The attempt is over: nothing more of it is written. */
  end(): void {
    this.#isOver = true
    this.#chunks?.end()
  }

  #createChunks(): Chunks {
    const { outbox, env, codec } = this.#options
    const { name: step, index } = this.#past
    const chunks = createChunks({
      step,
      index,
      attempt: this.attempt,
      outbox,
      codec,
      env,
      signal: this.#signal,
    })
    if (this.#isOver) chunks.end()
    return chunks
  }
}
