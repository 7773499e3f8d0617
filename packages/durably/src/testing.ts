export {
  createTestDurably,
  type TestDurably,
  type TestDurablyOptions,
} from './testing/create-test-durably.ts'
export type { StepOverride } from './testing/overrides.ts'
export type { CrashReport, EffectReport, PlaceReport } from './testing/crash-report.ts'
export { crashTest, type CrashTestOptions } from './testing/crash-test.ts'
