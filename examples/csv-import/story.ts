import { styleText } from 'node:util'
import type { Findings } from './airports.ts'
import { showCount, type Screen } from './screen.ts'

const dim = (text: string) => styleText('gray', text)

/** What the demo says of what happens. */
export function createStory({ line, keepBar }: Screen) {
  const step = (sign: string, name: string, text: string) =>
    line(`   ${sign} ${name.padEnd(16)} ${text}`)
  return {
    title(rows: number) {
      line()
      line(styleText('bold', ` ${showCount(rows)} airports, from a CSV file into a table`))
      line(dim(' one step for every 400 rows; the worker is killed on the way'))
    },
    workerStarted(number: number, pid: number | undefined) {
      line()
      line(` ${styleText('cyan', '●')} worker ${number} starts, process ${pid}`)
    },
    ran(name: string, said = '') {
      step(styleText('green', '✓'), name, said)
    },
    killed(during = '') {
      keepBar()
      line()
      line(styleText(['red', 'bold'], ` ✗ SIGKILL to worker 1, in the middle of "${during}"`))
      line(dim('   it could tell nobody; its lease on the run ends within 2 seconds'))
    },
    tookOver(afterMs: number) {
      line(`   takes the run over, ${showSeconds(afterMs)} after the kill`)
    },
    kept(name: string) {
      step(styleText('blue', '='), name, styleText('blue', 'kept, not run again'))
    },
    ranAgain(name: string, said = '') {
      step(styleText('yellow', '↻'), name, styleText('yellow', `ran again: ${said}`))
    },
    ended({ rows, codes, sameAsFile }: Findings, isRight: boolean, tookMs: number) {
      keepBar()
      line()
      line(` The table, by SQL`)
      line(`   ${showCount(rows).padStart(6)}  rows`)
      line(`   ${showCount(codes).padStart(6)}  different airports`)
      line(`   ${(sameAsFile ? 'yes' : 'no').padStart(6)}  equal to the file, row by row`)
      line()
      const verdict = isRight ? ' ✓ Every airport exactly once' : ' ✗ The table is wrong'
      const colored = styleText([isRight ? 'green' : 'red', 'bold'], verdict)
      line(`${colored}, after ${showSeconds(tookMs)}`)
      line()
    },
  }
}

function showSeconds(ms: number): string {
  return `${(ms / 1000).toFixed(1)} s`
}
