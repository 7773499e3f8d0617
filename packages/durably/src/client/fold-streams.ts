import type { DurablyEvent } from '../core/event.ts'

interface Stream {
  readonly step: string
  readonly attempt: number
  /** Its step has completed. */
  isSettled: boolean
  readonly chunks: unknown[]
}

/** The streams that a run's steps write, by their names. */
export interface Streams {
  /** Takes an event of the run into account; those of a run come in order. */
  add(event: DurablyEvent): void
  /** What each stream has so far, without what attempts wrote that did not succeed; the same until it changes. */
  chunks(): Readonly<Record<string, readonly unknown[]>>
}

/** Longer streams keep their last chunks. */
const MAX_CHUNKS = 100_000

export function foldStreams(): Streams {
  const streams = new Map<string, Stream>()
  let shown: ReturnType<Streams['chunks']> | null = null

  function retract(isVoid: (stream: Stream) => boolean): void {
    for (const [name, stream] of streams) {
      if (isVoid(stream) && streams.delete(name)) shown = null
    }
  }

  return {
    add(event) {
      switch (event.type) {
        case 'step:chunk':
          addChunk(streams, event)
          shown = null
          break
        case 'step:complete':
          for (const stream of streams.values()) stream.isSettled ||= stream.step === event.stepName
          break
        case 'step:retry':
        case 'step:fail':
          retract(({ step, isSettled }) => !isSettled && step === event.stepName)
          break
        case 'run:start':
          // Whoever wrote them died, or gave the run up: the step is executed again.
          retract(({ isSettled }) => !isSettled)
          break
        default:
          break
      }
    },
    chunks() {
      shown ??= Object.fromEntries([...streams].map(([name, { chunks }]) => [name, [...chunks]]))
      return shown
    },
  }
}

function addChunk(
  streams: Map<string, Stream>,
  { stepName: step, stream: name, attempt, chunk }: DurablyEvent<'step:chunk'>,
): void {
  const known = streams.get(name)
  const isSame = known?.step === step && known.attempt === attempt && !known.isSettled
  const stream = isSame ? known : { step, attempt, isSettled: false, chunks: [] }
  stream.chunks.push(chunk)
  if (stream.chunks.length > MAX_CHUNKS) stream.chunks.shift()
  streams.set(name, stream)
}
