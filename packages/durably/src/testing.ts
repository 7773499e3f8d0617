export type { CrashReport } from './testing/crash-report.ts'
export { type CrashTestOptions, crashTest } from './testing/crash-test.ts'
export {
  createTestDurably,
  type TestDurably,
  type TestDurablyOptions,
} from './testing/create-test-durably.ts'
export type { EffectReport, PlaceReport } from './testing/findings.ts'
export type { StepOverride } from './testing/overrides.ts'
