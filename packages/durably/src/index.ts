export type { Codec } from './core/codec.ts'
export { richCodec } from './core/codec.ts'
export type { Duration } from './core/duration.ts'
export type { ErrorCode, ErrorDetail, Issue } from './core/error.ts'
export {
  CancelledError,
  ConflictError,
  DuplicateStepError,
  DurablyError,
  LeaseLostError,
  NotFoundError,
  RunFailedError,
  SerializationError,
  TimeoutError,
  ValidationError,
} from './core/error.ts'
export type { DurablyEvent, EventHandler, EventType } from './core/event.ts'
export type {
  BatchItem,
  BulkFilter,
  Disposition,
  Handles,
  JobHandle,
  RunFilter,
  RunOf,
  TriggerAndWaitOptions,
  TriggerOptions,
} from './core/handle.ts'
export type {
  JobDefinition,
  JobInput,
  JobOutput,
  JobPayload,
  StepContext,
  StepInfo,
  StepLog,
} from './core/job.ts'
export { defineJob } from './core/job.ts'
export type { LogLevel } from './core/journal.ts'
export type { EngineOptions } from './core/options.ts'
export type { Labels, Progress, Run, Wait } from './core/run.ts'
export type { Log, Step } from './core/step.ts'
export type { RunStatus } from './core/transitions.ts'
export type { Wakeups } from './core/wakeups.ts'
export type { Instance, Jobs } from './core/instance.ts'
export type { Durably, DurablyOptions } from './durably.ts'
export { createDurably } from './durably.ts'
