import { styleText } from 'node:util'

/** Lines that stay and, on a terminal, a bar beneath them that moves. */
export interface Screen {
  line(text?: string): void
  bar(current: number, total: number): void
  /** Leaves the bar where it is, as a line like the others. */
  keepBar(): void
}

const BAR_CELLS = 40
const CELLS_BESIDE_BAR = 20
const CLEAR_LINE = '\r\x1b[2K'

export function createScreen(out: NodeJS.WriteStream): Screen {
  let bar = ''
  return {
    line(text = '') {
      const clear = bar === '' ? '' : CLEAR_LINE
      out.write(`${clear}${text}\n${bar}`)
    },
    bar(current, total) {
      if (!out.isTTY) return
      const room = Math.max(0, out.columns - CELLS_BESIDE_BAR)
      bar = drawBar(current, total, Math.min(BAR_CELLS, room))
      out.write(`${CLEAR_LINE}${bar}`)
    },
    keepBar() {
      if (bar !== '') out.write('\n')
      bar = ''
    },
  }
}

function drawBar(current: number, total: number, width: number): string {
  const cells = Math.round((current / total) * width)
  const done = styleText('cyan', '█'.repeat(cells))
  const rest = styleText('gray', '░'.repeat(width - cells))
  return `   ${done}${rest}  ${showCount(current)} / ${showCount(total)}`
}

export function showCount(count: number): string {
  return count.toLocaleString('en-US')
}
