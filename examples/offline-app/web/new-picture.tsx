import { useJob } from '@coji/durably-react'
import { useState, type DragEvent } from 'react'
import { effectNames, type EffectName } from '../jobs/effects.ts'
import { develop, plates } from './darkroom.ts'
import { fileOf, samples, type Sample } from './samples.ts'

const LARGEST_MB = 20

/** How long a band is exposed, in milliseconds. */
const exposures = { short: 20, normal: 200, long: 400 }
type ExposureName = keyof typeof exposures

export function NewPicture() {
  const { trigger } = useJob(develop, { autoResume: false, followLatest: false })
  const [effect, setEffect] = useState<EffectName>('duotone')
  const [exposure, setExposure] = useState<ExposureName>('normal')
  const [error, setError] = useState<string | null>(null)

  const start = async (file: File) => {
    if (file.size > LARGEST_MB * 1024 * 1024) throw new Error(`larger than ${LARGEST_MB} MB`)
    const picture = crypto.randomUUID()
    await plates.addPicture(picture, new Uint8Array(await file.arrayBuffer()))
    await trigger({ picture, name: file.name, effect, exposure: exposures[exposure] })
  }
  const take = async (files: readonly File[]) => {
    setError(null)
    for (const file of files) {
      await start(file).catch((thrown: Error) => setError(`${file.name}: ${thrown.message}`))
    }
  }

  return (
    <section aria-label="New picture">
      <div className="row choices">
        <EffectChoice effect={effect} onEffect={setEffect} />
        <label className="exposure">
          Exposure
          <select
            value={exposure}
            onChange={(event) => setExposure(event.target.value as ExposureName)}
          >
            {Object.keys(exposures).map((name) => (
              <option key={name}>{name}</option>
            ))}
          </select>
        </label>
      </div>
      <div className="start">
        <Drop onFiles={(files) => void take(files)} />
        <div className="samples">
          {samples.map((sample) => (
            <SampleButton
              key={sample.name}
              sample={sample}
              onClick={() => void fileOf(sample).then((file) => take([file]))}
            />
          ))}
        </div>
      </div>
      {error !== null && (
        <p className="error" role="alert">
          {error}
        </p>
      )}
    </section>
  )
}

function EffectChoice({
  effect,
  onEffect,
}: {
  readonly effect: EffectName
  readonly onEffect: (effect: EffectName) => void
}) {
  return (
    <fieldset aria-label="Effect">
      {effectNames.map((name) => (
        <label key={name} className="choice">
          <input
            type="radio"
            name="effect"
            checked={name === effect}
            onChange={() => onEffect(name)}
          />
          <span className={`swatch ${name}`} />
          {name}
        </label>
      ))}
    </fieldset>
  )
}

function Drop({ onFiles }: { readonly onFiles: (files: readonly File[]) => void }) {
  const [isOver, setOver] = useState(false)
  const drop = (event: DragEvent) => {
    event.preventDefault()
    setOver(false)
    onFiles([...event.dataTransfer.files])
  }
  return (
    <label
      className={`drop ${isOver ? 'over' : ''}`}
      onDragOver={(event) => {
        event.preventDefault()
        setOver(true)
      }}
      onDragLeave={() => setOver(false)}
      onDrop={drop}
    >
      <input
        type="file"
        accept="image/*"
        multiple
        onChange={(event) => {
          onFiles([...(event.target.files ?? [])])
          // The same file can be chosen again.
          event.target.value = ''
        }}
      />
      <strong>Drop pictures here, or choose some</strong>
      <span>They never leave this browser</span>
    </label>
  )
}

function SampleButton({
  sample,
  onClick,
}: {
  readonly sample: Sample
  readonly onClick: () => void
}) {
  return (
    <button type="button" className="sample" onClick={onClick}>
      <canvas width={216} height={144} ref={(canvas) => preview(canvas, sample)} />
      {sample.name}
    </button>
  )
}

function preview(canvas: HTMLCanvasElement | null, { draw }: Sample): void {
  const context = canvas?.getContext('2d')
  if (canvas !== null && context) draw(context, canvas.width, canvas.height)
}
