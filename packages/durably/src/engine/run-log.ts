import { encode, type Codec, type Encoded } from '../core/codec.ts'
import { clip } from '../core/clip.ts'
import { describeError } from '../core/describe-error.ts'
import type { StepLog } from '../core/step-context.ts'
import { logData, type LogLevel } from '../core/journal.ts'
import { show } from '../core/show.ts'
import type { Outbox } from './outbox.ts'

/** The log of one execution. A line that cannot be stored as it is never harms the job that wrote it. */
export interface RunLog {
  /** Lines belong to the step whose code writes them. */
  readonly ofCurrentStep: StepLog
  ofStep(name: string): StepLog
  /** Resolves when every line so far is on its way. */
  stored(): Promise<void>
}

interface RunLogOptions {
  readonly outbox: Outbox
  readonly codec: Codec
  readonly currentStep: () => string | null
}

export function createRunLog({ outbox, codec, currentStep }: RunLogOptions): RunLog {
  const encoding = new Set<Promise<void>>()

  function write(level: LogLevel, step: string | null, message: unknown, data: unknown): void {
    const text = textOf(message)
    const add = (encoded: Encoded | null): void => {
      outbox.log(step, logData(level, text, encoded))
    }
    if (data === undefined) return add(null)
    const encoded = encodeOrSay(data, codec)
    if (!(encoded instanceof Promise)) return add(encoded)
    const added = encoded.then(add).finally(() => encoding.delete(added))
    encoding.add(added)
  }

  const logOf = (step: () => string | null): StepLog => ({
    info: (message, data) => write('info', step(), message, data),
    warn: (message, data) => write('warn', step(), message, data),
    error: (message, data) => write('error', step(), message, data),
  })
  return {
    ofCurrentStep: logOf(currentStep),
    ofStep: (name) => logOf(() => name),
    async stored() {
      await Promise.all(encoding)
    },
  }
}

function textOf(message: unknown): string {
  try {
    return clip(String(message))
  } catch {
    return show(message)
  }
}

/** The data, or why it could not be stored. */
function encodeOrSay(data: unknown, codec: Codec): Encoded | Promise<Encoded> {
  const say = (error: unknown): Encoded => {
    return { format: 'json', text: JSON.stringify(describeError(error).message) }
  }
  try {
    const encoded = encode(data, codec, 'log data')
    return encoded instanceof Promise ? encoded.catch(say) : encoded
  } catch (error) {
    return say(error)
  }
}
