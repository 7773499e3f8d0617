import { defineJob, NonRetryableError } from '@coji/durably'
import { z } from 'zod'
import { effectNames } from './effects.ts'
import { expose } from './enlarger.ts'
import { decode, encode } from './pictures.ts'
import type { Plates } from './plates.ts'

/** The rows of a band. A multiple of the dots that the effects make. */
export const BAND_ROWS = 24

/**
 * Develops a picture band by band. A band is a step: whenever the page is closed, the next one to open goes on with the
 * band that was cut off.
 */
export const createDevelop = (plates: Plates) =>
  defineJob({
    name: 'develop',
    input: z.object({
      picture: z.string(),
      name: z.string(),
      effect: z.enum(effectNames),
      /** Milliseconds for each band, so that one can watch. */
      exposure: z.number().min(0).default(200),
    }),
    output: z.object({ width: z.number(), height: z.number(), bands: z.number() }),
    // For a worker that dies without a word. A computer that sleeps in the middle of a step exceeds it too.
    timeout: '20s',
    retry: { attempts: 3, delay: '1s' },
    run: async (step, { picture, name, effect, exposure }) => {
      const { runId } = step
      const { width, height } = await step.run('negative', async (_, { log }) => {
        const file = await plates.picture(picture)
        if (file === null) throw new NonRetryableError(`${name} is gone`)
        const negative = await decode(file).catch((cause: unknown) => {
          throw new NonRetryableError(`${name} is no picture that this browser can read`, { cause })
        })
        await plates.keepNegative(runId, negative)
        log.info(`${name}: a negative of ${negative.width} × ${negative.height}`)
        return { width: negative.width, height: negative.height }
      })
      const bands = Math.ceil(height / BAND_ROWS)
      let carry: Float32Array = new Float32Array()
      for (let band = 0; band < bands; band++) {
        const before = carry
        // What one band leaves to the next is a step's result: after a reload it is here again.
        carry = await step.run(`band ${band + 1}`, async (signal, { log }) => {
          const bytes = BAND_ROWS * width * 4
          const pixels = await plates.pixels(runId, band * bytes, bytes)
          const strip = { pixels, width, carry: before, effect, time: exposure }
          const exposed = await expose(strip, signal)
          const isNew = await plates.keepBand(runId, band, exposed.pixels)
          log.info(`band ${band + 1} of ${bands}${isNew ? '' : ', which was there already'}`)
          return exposed.carry
        })
        step.progress(band + 1, bands)
      }
      const exposedBands = await step.run('print', async (_, { log }) => {
        const exposed = await plates.bands(runId, 0)
        const image = await encode(
          { width, height },
          exposed.map(({ pixels }) => pixels),
        )
        await plates.keepPrint(runId, image)
        log.info(`printed: ${Math.ceil(image.length / 1024)} kB`)
        return exposed.length
      })
      await step.run('put away', () => plates.putAway(runId))
      return { width, height, bands: exposedBands }
    },
  })
