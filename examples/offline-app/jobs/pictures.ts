import type { Bytes, Negative } from './plates.ts'

const LONGEST_SIDE = 480

/** Decodes a picture and scales it down. Rejects when it is none that the browser knows. */
export async function decode(file: Bytes): Promise<Negative> {
  const image = await createImageBitmap(new Blob([file]))
  const scale = Math.min(1, LONGEST_SIDE / Math.max(image.width, image.height))
  const width = Math.max(1, Math.round(image.width * scale))
  const height = Math.max(1, Math.round(image.height * scale))
  const context = contextOf(new OffscreenCanvas(width, height))
  context.imageSmoothingQuality = 'high'
  // What is transparent is white paper.
  context.fillStyle = 'white'
  context.fillRect(0, 0, width, height)
  context.drawImage(image, 0, 0, width, height)
  image.close()
  const { data } = context.getImageData(0, 0, width, height)
  return { width, height, pixels: new Uint8Array(data.buffer) }
}

/** Puts bands together to one picture. */
export async function encode(
  { width, height }: { readonly width: number; readonly height: number },
  bands: readonly Bytes[],
): Promise<Bytes> {
  const canvas = new OffscreenCanvas(width, height)
  const pixels = new Uint8ClampedArray(width * height * 4)
  let at = 0
  for (const band of bands) {
    pixels.set(band, at)
    at += band.length
  }
  contextOf(canvas).putImageData(new ImageData(pixels, width, height), 0, 0)
  const blob = await canvas.convertToBlob({ type: 'image/png' })
  return new Uint8Array(await blob.arrayBuffer())
}

function contextOf(canvas: OffscreenCanvas): OffscreenCanvasRenderingContext2D {
  const context = canvas.getContext('2d', { willReadFrequently: true })
  if (context === null) throw new Error('This browser cannot draw')
  return context
}
