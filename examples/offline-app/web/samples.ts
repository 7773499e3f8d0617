type Context = CanvasRenderingContext2D | OffscreenCanvasRenderingContext2D
type Draw = (context: Context, width: number, height: number) => void

export interface Sample {
  readonly name: string
  readonly width: number
  readonly height: number
  readonly draw: Draw
}

/** Numbers between 0 and 1 that look like chance and are the same each time. */
function chance(seed: number): () => number {
  let state = seed
  return () => {
    state = (state * 1103515245 + 12345) % 2147483648
    return state / 2147483648
  }
}

function downwards(context: Context, height: number, colors: readonly string[]): CanvasGradient {
  const gradient = context.createLinearGradient(0, 0, 0, height)
  for (const [i, color] of colors.entries()) gradient.addColorStop(i / (colors.length - 1), color)
  return gradient
}

const mountains: Draw = (context, width, height) => {
  context.fillStyle = downwards(context, height * 0.8, ['#1d2c5e', '#b0507c', '#ffb56b', '#fff0c9'])
  context.fillRect(0, 0, width, height)
  const glow = context.createRadialGradient(
    width * 0.68,
    height * 0.5,
    0,
    width * 0.68,
    height * 0.5,
    height * 0.45,
  )
  glow.addColorStop(0, '#ffffff')
  glow.addColorStop(0.18, '#fff6d8')
  glow.addColorStop(0.2, '#ffe9b080')
  glow.addColorStop(1, '#ffe9b000')
  context.fillStyle = glow
  context.fillRect(0, 0, width, height)
  for (const [i, color] of ['#9c6a8c', '#6b4a7d', '#3d2f5c', '#191733'].entries()) {
    const base = height * (0.52 + i * 0.13)
    context.fillStyle = color
    context.beginPath()
    context.moveTo(0, height)
    for (let x = 0; x <= width; x += 4) {
      const at = x / width
      const ridge =
        Math.sin(at * (5 + i * 2) + i * 1.7) * 0.09 +
        Math.abs(Math.sin(at * (13 + i * 5) + i)) * -0.07 +
        Math.sin(at * (47 + i * 13)) * 0.012
      context.lineTo(x, base + ridge * height)
    }
    context.lineTo(width, height)
    context.fill()
  }
}

const city: Draw = (context, width, height) => {
  const next = chance(7)
  context.fillStyle = downwards(context, height, ['#070b1f', '#1b2a57', '#5d5a92', '#e09a86'])
  context.fillRect(0, 0, width, height)
  context.fillStyle = '#fdf6dc'
  context.beginPath()
  context.arc(width * 0.24, height * 0.2, height * 0.08, 0, Math.PI * 2)
  context.fill()
  for (const [row, color] of ['#3a3f6e', '#222647', '#0d0f20'].entries()) {
    const size = width / (13 - row * 2)
    for (let x = -size * next(); x < width; x += size * 0.98) {
      const top = height * (0.32 + row * 0.14 + next() * 0.26)
      context.fillStyle = color
      context.fillRect(x, top, size * 0.94, height - top)
      const pane = size / 7
      context.fillStyle = '#ffd98a'
      for (let y = top + pane; y < height - pane; y += pane * 1.7) {
        for (let i = 1; i < 6; i += 1.6) {
          if (next() > 0.62) context.fillRect(x + i * pane, y, pane * 0.9, pane)
        }
      }
    }
  }
}

const marbles: Draw = (context, width, height) => {
  context.fillStyle = downwards(context, height, ['#dfe9ea', '#f7f1e6', '#b8a78d', '#7c6c58'])
  context.fillRect(0, 0, width, height)
  const balls = [
    [0.3, 0.42, 0.25, '#d8434e'],
    [0.72, 0.5, 0.2, '#2f6fb5'],
    [0.5, 0.72, 0.16, '#f0b63a'],
    [0.2, 0.8, 0.11, '#3f9a6b'],
    [0.82, 0.82, 0.09, '#8a56ac'],
  ] as const
  for (const [left, top, size, color] of balls) {
    const x = left * width
    const y = top * height
    const radius = size * width
    context.fillStyle = '#2a201455'
    context.beginPath()
    context.ellipse(x + radius * 0.35, y + radius * 0.9, radius * 1.1, radius * 0.28, 0, 0, 7)
    context.fill()
    const light = context.createRadialGradient(
      x - radius * 0.4,
      y - radius * 0.45,
      radius * 0.05,
      x,
      y,
      radius * 1.05,
    )
    light.addColorStop(0, '#ffffff')
    light.addColorStop(0.25, color)
    light.addColorStop(1, '#140d14')
    context.fillStyle = light
    context.beginPath()
    context.arc(x, y, radius, 0, Math.PI * 2)
    context.fill()
  }
}

export const samples: readonly Sample[] = [
  { name: 'Mountains', width: 960, height: 640, draw: mountains },
  { name: 'City', width: 960, height: 640, draw: city },
  { name: 'Marbles', width: 800, height: 800, draw: marbles },
]

/** A sample as a file, as if someone had dropped it. */
export async function fileOf({ name, width, height, draw }: Sample): Promise<File> {
  const canvas = new OffscreenCanvas(width, height)
  const context = canvas.getContext('2d')
  if (context === null) throw new Error('This browser cannot draw')
  draw(context, width, height)
  return new File([await canvas.convertToBlob()], name, { type: 'image/png' })
}
