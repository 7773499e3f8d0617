import { effects } from './effects.ts'
import type { Exposure } from './enlarger.ts'

interface Request {
  readonly exposure: Exposure
  readonly answer: MessagePort
}

addEventListener('message', ({ data: { exposure, answer } }: MessageEvent<Request>) => {
  const exposed = effects[exposure.effect](exposure)
  setTimeout(() => answer.postMessage(exposed), exposure.time)
})
