import type { Bytes } from './plates.ts'

/** Some rows of a picture, whole bands of it, and what the rows above them left to be done. */
export interface Strip {
  readonly pixels: Bytes
  readonly width: number
  readonly carry: Float32Array
}

/** What an effect makes of a strip, and leaves to the next one. */
export type Effect = (strip: Strip) => { readonly pixels: Bytes; readonly carry: Float32Array }

type Color = readonly [red: number, green: number, blue: number]

const nothing = new Float32Array()

/** The lightness of a pixel, 0 to 1. */
function lightness(pixels: Bytes, at: number): number {
  const [red = 0, green = 0, blue = 0] = pixels.subarray(at, at + 3)
  return (0.299 * red + 0.587 * green + 0.114 * blue) / 255
}

function paint(pixels: Bytes, at: number, color: Color): void {
  pixels.set(color, at)
  pixels[at + 3] = 255
}

/** Shades between colors: the first for black, the last for white. */
function toning(colors: readonly Color[]): Effect {
  const shades = Array.from({ length: 256 }, (_, i) => shade(colors, i / 255))
  return ({ pixels }) => {
    const toned = new Uint8Array(pixels.length)
    for (let at = 0; at < pixels.length; at += 4) {
      paint(toned, at, shades[Math.round(contrast(lightness(pixels, at)) * 255)] ?? [0, 0, 0])
    }
    return { pixels: toned, carry: nothing }
  }
}

/** Darkens what is dark and lightens what is light. */
const contrast = (light: number): number => light * light * (3 - 2 * light)

function shade(colors: readonly Color[], light: number): Color {
  const place = light * (colors.length - 1)
  const below = Math.min(Math.floor(place), colors.length - 2)
  const from = colors[below] ?? [0, 0, 0]
  const to = colors[below + 1] ?? from
  const mix = (i: 0 | 1 | 2): number => from[i] + (to[i] - from[i]) * (place - below)
  return [mix(0), mix(1), mix(2)]
}

const DOT = 6

/** Dots, the larger the darker. */
function dots(ink: Color, paper: Color): Effect {
  return ({ pixels, width }) => {
    const dotted = new Uint8Array(pixels.length)
    const height = pixels.length / 4 / width
    for (let y = 0; y < height; y++) {
      for (let x = 0; x < width; x++) {
        const left = x - (x % DOT)
        const top = y - (y % DOT)
        const middle =
          Math.min(top + DOT / 2, height - 1) * width + Math.min(left + DOT / 2, width - 1)
        const radius = Math.sqrt(1 - contrast(lightness(pixels, middle * 4))) * DOT * 0.62
        const distance = Math.hypot(x + 0.5 - left - DOT / 2, y + 0.5 - top - DOT / 2)
        const light = Math.min(Math.max(distance - radius + 0.5, 0), 1)
        paint(dotted, (y * width + x) * 4, shade([ink, paper], light))
      }
    }
    return { pixels: dotted, carry: nothing }
  }
}

const GRAIN = 2

/**
 * Grains of ink or none (Floyd and Steinberg). What a grain is too dark or too light its neighbours make up for, those
 * below too: the last row of a strip carries that over to the next one.
 */
function grains(ink: Color, paper: Color): Effect {
  return ({ pixels, width, carry }) => {
    const grainy = new Uint8Array(pixels.length)
    const height = pixels.length / 4 / width
    const columns = Math.ceil(width / GRAIN)
    let owed = carry.length === columns ? carry : new Float32Array(columns)
    for (let top = 0; top < height; top += GRAIN) {
      const below = new Float32Array(columns)
      let ahead = 0
      for (let column = 0; column < columns; column++) {
        const wanted =
          contrast(lightness(pixels, (top * width + column * GRAIN) * 4)) +
          ahead +
          (owed[column] ?? 0)
        const isInk = wanted < 0.5
        const rest = wanted - (isInk ? 0 : 1)
        ahead = (rest * 7) / 16
        add(below, column - 1, (rest * 3) / 16)
        add(below, column, (rest * 5) / 16)
        add(below, column + 1, rest / 16)
        fill(grainy, { top, left: column * GRAIN, width, height }, isInk ? ink : paper)
      }
      owed = below
    }
    return { pixels: grainy, carry: owed }
  }
}

function add(values: Float32Array, at: number, value: number): void {
  const before = values[at]
  if (before !== undefined) values[at] = before + value
}

function fill(
  pixels: Bytes,
  place: {
    readonly top: number
    readonly left: number
    readonly width: number
    readonly height: number
  },
  color: Color,
): void {
  for (let y = place.top; y < Math.min(place.top + GRAIN, place.height); y++) {
    for (let x = place.left; x < Math.min(place.left + GRAIN, place.width); x++) {
      paint(pixels, (y * place.width + x) * 4, color)
    }
  }
}

export const effectNames = ['duotone', 'cyanotype', 'halftone', 'grain'] as const

export type EffectName = (typeof effectNames)[number]

export const effects: Readonly<Record<EffectName, Effect>> = {
  duotone: toning([
    [38, 16, 74],
    [205, 45, 110],
    [255, 226, 160],
  ]),
  cyanotype: toning([
    [8, 28, 66],
    [38, 96, 160],
    [240, 244, 238],
  ]),
  halftone: dots([30, 30, 36], [250, 238, 214]),
  grain: grains([24, 44, 40], [240, 236, 222]),
}
