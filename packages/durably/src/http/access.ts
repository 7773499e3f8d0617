import type { Client } from '../client/client.ts'
import { DurablyError, NotFoundError, ValidationError } from '../core/error.ts'
import { requireKnown, requireObject, type Names } from '../core/require-object.ts'
import { requireText } from '../core/require-text.ts'
import { show } from '../core/show.ts'
import type { Labels, Run } from '../core/run.ts'

/** What a request asks to do. */
export type Operation =
  | 'read'
  | 'trigger'
  | 'retry'
  | 'cancel'
  | 'delete'
  | 'retrigger'
  | 'signal'
  | 'completeToken'

/** A run that a request asks to trigger. */
export interface TriggerRequest {
  readonly jobName: string
  readonly input: unknown
  readonly labels: Labels
}

/** What the sender of a request may see and do. */
export interface Access {
  /** Nothing exists beyond it: runs of other jobs or with other labels are not found. Triggered runs get its labels. */
  readonly scope?: Scope | undefined
  /**
   * Whether the operation is allowed on the run, or on the run to be triggered. Default: everything within the scope.
   * The target is null for a token: its run is not known before it is completed.
   */
  readonly may?:
    | ((operation: Operation, target: Run | TriggerRequest | null) => boolean | Promise<boolean>)
    | undefined
  /** Whether to hide payloads, outputs, results of steps and data of logs of this job: they are null then. */
  readonly hidePayload?: ((jobName: string) => boolean) | undefined
  /** Whether errors include their stacks, which name files of the server. Default: no. */
  readonly showStacks?: boolean | undefined
}

interface Scope {
  readonly jobNames?: readonly string[] | undefined
  readonly labels?: Labels | undefined
}

const rights: Names<Access> = { scope: true, may: true, hidePayload: true, showStacks: true }

/** Throws what the server's developer is to be told unless it is one: what is not understood lets nobody in. */
export function requireAccess(value: unknown): asserts value is Access {
  requireObject(value, 'what authenticate returned', 'what the user may do, or null for nobody')
  requireKnown<Access>(value, rights, 'authenticate: ')
  const { scope, may, hidePayload } = value as Access
  for (const [name, fn] of Object.entries({ may, hidePayload })) {
    if (fn !== undefined && typeof fn !== 'function') {
      throw new ValidationError(`authenticate: ${name} must be a function; got ${show(fn)}`)
    }
  }
  if (scope === undefined) return
  requireObject(scope, 'scope')
  requireKnown<Scope>(scope, { jobNames: true, labels: true }, 'scope: ')
  const { jobNames = [], labels = {} } = scope
  if (!Array.isArray(jobNames)) {
    throw new ValidationError(`scope.jobNames must be a list of names; got ${show(jobNames)}`)
  }
  for (const name of jobNames as readonly unknown[]) requireText(name, 'job name of the scope')
  requireObject(labels, 'scope.labels')
  // Whoever has no tenant is not to have everyone's.
  for (const [name, value] of Object.entries(labels)) requireText(value, `scope.labels.${name}`)
}

/** Whether a run with this job and these labels exists for whoever has the access. */
export function isInScope(
  { scope }: Access,
  { jobName, labels }: { readonly jobName: string; readonly labels: Labels },
): boolean {
  if (scope?.jobNames?.includes(jobName) === false) return false
  return Object.entries(scope?.labels ?? {}).every(([name, value]) => labels[name] === value)
}

/** The run, if it exists for them and they may do this to it. Throws what they are to be told. */
export async function findRun(
  client: Client,
  access: Access,
  operation: Operation,
  runId: string,
): Promise<Run> {
  const run = await client.getRun(runId)
  if (run === null || !isInScope(access, run)) throw new NotFoundError(`Run not found: ${runId}`)
  await requireLeave(access, operation, run)
  return run
}

/** Throws unless they may. */
export async function requireLeave(
  { may }: Access,
  operation: Operation,
  target: Run | TriggerRequest | null,
): Promise<void> {
  if (await isAllowed({ may }, operation, target)) return
  throw new DurablyError('forbidden', `You may not ${phrases[operation]}`)
}

/** Nothing but `true` allows it. */
export async function isAllowed(
  { may }: Access,
  operation: Operation,
  target: Run | TriggerRequest | null,
): Promise<boolean> {
  return may === undefined || (await may(operation, target)) === true
}

const phrases: Record<Operation, string> = {
  read: 'read this run',
  trigger: 'trigger this job',
  retry: 'retry this run',
  cancel: 'cancel this run',
  delete: 'delete this run',
  retrigger: 'trigger this run again',
  signal: 'send signals to this run',
  completeToken: 'complete tokens',
}

/** The labels of the scope, and those asked for. Throws if they want another value than the scope has. */
export function scopedLabels({ scope }: Access, asked: Labels): Labels {
  for (const [name, value] of Object.entries(scope?.labels ?? {})) {
    if (!Object.hasOwn(asked, name) || asked[name] === value) continue
    throw new DurablyError('forbidden', `label "${name}" is not yours to choose`)
  }
  return Object.fromEntries([...Object.entries(asked), ...Object.entries(scope?.labels ?? {})])
}
