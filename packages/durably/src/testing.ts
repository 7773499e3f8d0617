export {
  createTestDurably,
  type TestDurably,
  type TestDurablyOptions,
} from './testing/create-test-durably.ts'
export type { StepOverride } from './testing/overrides.ts'
