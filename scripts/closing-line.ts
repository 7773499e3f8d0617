import type { TestAnnotation } from 'vitest'
import type { Reporter, TestCase, TestModule } from 'vitest/node'

/**
 * Prints what tests have to say, as it comes, and ends the output of a run with `N passed, N failed`, alone on the last line. It is written when
 * the process exits: global teardown and other reporters may still print after the last test.
 */
export default class ClosingLine implements Reporter {
  #passed = 0
  // A run that never reports back, a global setup that threw for one, has failed.
  #failed = 1

  onInit(): void {
    process.once('exit', () => {
      process.stdout.write(`${this.#passed} passed, ${this.#failed} failed\n`)
    })
  }

  onTestCaseAnnotate({ name }: TestCase, { message }: TestAnnotation): void {
    process.stdout.write(`${name}: ${message}\n`)
  }

  onTestRunEnd(modules: readonly TestModule[], unhandledErrors: readonly unknown[]): void {
    this.#passed = 0
    this.#failed = unhandledErrors.length
    for (const module of modules) {
      for (const test of module.children.allTests()) {
        const { state } = test.result()
        if (state === 'passed') this.#passed++
        if (state === 'failed') this.#failed++
      }
      // A file that could not be loaded, or a hook that threw, has no failing test to count.
      if (module.state() === 'failed' && module.children.allTests('failed').next().done) {
        this.#failed++
      }
    }
    if (modules.length === 0) this.#failed++
  }
}
