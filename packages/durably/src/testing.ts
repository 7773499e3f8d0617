export {
  createTestDurably,
  type TestDurably,
  type TestDurablyOptions,
} from './testing/create-test-durably.ts'
export type { StepOverride } from './testing/overrides.ts'
export type { CrashReport } from './testing/crash-report.ts'
export type { EffectReport, PlaceReport } from './testing/findings.ts'
export { crashTest, type CrashTestOptions } from './testing/crash-test.ts'
