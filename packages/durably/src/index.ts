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
  NonRetryableError,
  NotFoundError,
  RetryAfterError,
  RunFailedError,
  SerializationError,
  TimeoutError,
  ValidationError,
} from './core/error.ts'
export type { DurablyEvent, EventHandler, EventType, RunChange } from './core/event.ts'
export type {
  BatchItem,
  BulkFilter,
  Disposition,
  Handles,
  JobHandle,
  RunChangeFilter,
  RunFilter,
  RunOf,
  TriggerAndWaitOptions,
  TriggerOptions,
} from './core/handle.ts'
export type { JobDefinition, JobInput, JobOutput, JobPayload } from './core/job.ts'
export { defineJob } from './core/job.ts'
export type { LogLevel } from './core/journal.ts'
export type { EngineOptions } from './core/options.ts'
export type { GivenLabels, KeptLabels, Labels, Progress, Run, Wait } from './core/run.ts'
export type { Retry, RetryPolicy } from './core/retry.ts'
export type { Log, Step } from './core/step.ts'
export type {
  SignalOptions,
  Signals,
  StepContext,
  StepInfo,
  StepLog,
  StepOptions,
  TokenOptions,
} from './core/step-context.ts'
export type { RunStatus } from './core/transitions.ts'
export type { Branch, Branches, First, RunEnd, Token } from './core/wait.ts'
export { wait } from './core/wait.ts'
export type { Wakeups } from './core/wakeups.ts'
export type { Instance, Jobs } from './core/instance.ts'
export type { Durably, DurablyOptions } from './durably.ts'
export { createDurably, createDurablyHandler } from './durably.ts'
export type { Access, Operation, TriggerRequest } from './http/access.ts'
export type { DurablyHandler, HandlerOptions } from './http/handler.ts'
