import { styleText } from 'node:util'

/** Lines that stay and, on a terminal, a bar beneath them that moves. */
export interface Screen {
  line(text?: string): void
  bar(current: number, total: number): void
  /** Leaves the bar where it is, as a line like the others. */
  keepBar(): void
}

const BAR_CELLS = 40
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
      bar = drawBar(current, total)
      out.write(`${CLEAR_LINE}${bar}`)
    },
    keepBar() {
      if (bar !== '') out.write('\n')
      bar = ''
    },
  }
}

function drawBar(current: number, total: number): string {
  const cells = Math.round((current / total) * BAR_CELLS)
  const done = styleText('cyan', '█'.repeat(cells))
  const rest = styleText('gray', '░'.repeat(BAR_CELLS - cells))
  return `   ${done}${rest}  ${showCount(current)} / ${showCount(total)}`
}

export function showCount(count: number): string {
  return count.toLocaleString('en-US')
}
