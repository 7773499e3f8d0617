import { useJobRun } from '@coji/durably-react'
import { useCallback, useEffect, useRef } from 'react'
import { BAND_ROWS } from '../jobs/develop.ts'
import { plates, type Developing } from './darkroom.ts'
import { useImage } from './use-image.ts'

/** A picture while it is developed: what is exposed already, over what it will be of. */
export function Plate({ run: { id, payload, attempt } }: { readonly run: Developing }) {
  const { progress } = useJobRun<Developing>({ runId: id })
  const canvas = useRef<HTMLCanvasElement>(null)
  const painted = useRef(0)
  const done = progress?.current ?? 0

  useEffect(() => {
    const paint = async () => {
      const size = await plates.size(id)
      if (canvas.current === null || size === null) return
      painted.current = await paintFrom(canvas.current, id, size, painted.current)
    }
    // A band that could not be read is painted with the next one.
    paint().catch(() => {})
  }, [id, done])

  const { picture } = payload
  const url = useImage(useCallback(() => plates.picture(picture), [picture]))
  return (
    <>
      <div className="plate">
        {typeof url === 'string' && (
          <img src={url} alt="" onError={({ currentTarget }) => (currentTarget.hidden = true)} />
        )}
        <canvas ref={canvas} />
      </div>
      <progress
        aria-label={`Progress of ${payload.name}`}
        max={progress?.total ?? 1}
        value={done}
      />
      <p className="muted">
        {progress === null ? 'Not started yet' : `${done} of ${progress.total} bands`}
        {attempt > 1 && `, taken up again ${attempt - 1}×`}
      </p>
    </>
  )
}

/** Paints the bands from a number on, and says which is the next. */
async function paintFrom(
  canvas: HTMLCanvasElement,
  runId: string,
  { width, height }: { readonly width: number; readonly height: number },
  from: number,
): Promise<number> {
  // To set the size wipes it.
  if (canvas.width !== width) canvas.width = width
  if (canvas.height !== height) canvas.height = height
  const bands = await plates.bands(runId, from)
  for (const { band, pixels } of bands) {
    const rows = new ImageData(new Uint8ClampedArray(pixels), width)
    canvas.getContext('2d')?.putImageData(rows, 0, band * BAND_ROWS)
  }
  return (bands.at(-1)?.band ?? from - 1) + 1
}
