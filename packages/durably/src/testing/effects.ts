import type { Scope } from '../core/env.ts'
import { ValidationError } from '../core/error.ts'
import { sourceLine } from './source-line.ts'
import { valueText } from './value-text.ts'

/** A call of an effect by a job. */
export interface EffectCall {
  readonly effect: string
  /** As text, to tell calls apart. */
  readonly args: string
  /** Null: between steps. */
  readonly step: string | null
  /** `file:line` of the call, where the platform tells. */
  readonly source: string | null
  /** The step's idempotency key is among the arguments: whoever receives it twice can tell. */
  readonly keyed: boolean
}

/** Whose code runs right now. */
export interface Actor {
  readonly isAlive: () => boolean
  readonly step: string | null
  readonly idempotencyKey: string | null
  readonly record: (call: EffectCall) => void
}

type Effect = (this: unknown, ...args: unknown[]) => unknown

/** A function that is an effect, and where it stands. */
interface Place {
  readonly owner: object
  readonly key: string
  /** As the report calls it: the names that lead to it. */
  readonly name: string
  readonly effect: Effect
}

/** Effects that are recorded. */
export interface Recording {
  readonly names: readonly string[]
  stop(): void
}

const nothing: Recording = { names: [], stop: () => {} }

/** Of all tests that are under way: what is recorded twice would be counted for one of them, and not be put back. */
const recorders = new WeakSet<Effect>()

/**
 * Puts recorders in place of the functions of `effects`, its own and those of its class, and of plain objects in it;
 * `stop` takes them away. Throws `ValidationError` for an object that has none, or does not let itself
 * be changed, or is being recorded.
 */
export function recordEffects(effects: object | undefined, scope: Scope<Actor>): Recording {
  if (effects === undefined) return nothing
  const places = functionsOf(effects, '', new Set())
  if (places.length === 0) {
    throw new ValidationError(
      'effects has no functions: pass the object through whose functions the job has its effects',
    )
  }
  for (const { name, effect } of places) {
    if (!recorders.has(effect)) continue
    throw new ValidationError(
      `effects.${name} is being recorded by another crashTest: await that one first, or give each an object of its own`,
    )
  }
  return { names: places.map(({ name }) => name), stop: replaceAll(places, scope) }
}

/** All or none. Returns what puts them back. */
function replaceAll(places: readonly Place[], scope: Scope<Actor>): () => void {
  const restores: (() => void)[] = []
  const stop = (): void => restores.reverse().forEach((restore) => restore())
  try {
    for (const place of places) restores.push(replace(place, scope))
  } catch (error) {
    stop()
    throw error
  }
  return stop
}

function replace({ owner, key, name, effect }: Place, scope: Scope<Actor>): () => void {
  const own = Object.getOwnPropertyDescriptor(owner, key)
  const value = record(name, effect, scope)
  recorders.add(value)
  const recorded = { value, configurable: true, writable: true }
  if (!Reflect.defineProperty(owner, key, { ...own, ...recorded })) throw unchangeable(name)
  return () =>
    own === undefined ? Reflect.deleteProperty(owner, key) : Reflect.defineProperty(owner, key, own)
}

/** An object that stands in several places, or within itself, has its functions once: under the first of its names. */
function functionsOf(owner: object, path: string, seen: Set<object>): Place[] {
  seen.add(owner)
  const found = new Map<string, Place>()
  const nested: Place[] = []
  for (let level: object | null = owner; level !== null && level !== Object.prototype; ) {
    for (const [key, { value }] of Object.entries(Object.getOwnPropertyDescriptors(level))) {
      const name = `${path}${key}`
      if (isPlain(value) && !seen.has(value)) nested.push(...functionsOf(value, `${name}.`, seen))
      const isEffect = typeof value === 'function' && key !== 'constructor'
      if (isEffect && !found.has(key)) found.set(key, { owner, key, name, effect: value as Effect })
    }
    level = Object.getPrototypeOf(level) as object | null
  }
  return [...found.values(), ...nested]
}

function isPlain(value: unknown): value is object {
  return (
    typeof value === 'object' && value !== null && Object.getPrototypeOf(value) === Object.prototype
  )
}

function unchangeable(name: string): ValidationError {
  return new ValidationError(
    `effects.${name} cannot be replaced by a recorder: pass an object that is not frozen, and let the job call it as effects.${name}(…)`,
  )
}

function record(name: string, effect: Effect, scope: Scope<Actor>): Effect {
  return function (...args) {
    const actor = scope.get()
    if (actor === undefined) return effect.apply(this, args)
    // Its process is dead: what it still does is not done.
    if (!actor.isAlive()) return new Promise(() => {})
    const { step, idempotencyKey } = actor
    const text = args.map(valueText).join(', ')
    // Perhaps as a part of a longer text; what else is in that tells calls apart.
    const keyed =
      idempotencyKey !== null && text.includes(JSON.stringify(idempotencyKey).slice(1, -1))
    actor.record({ effect: name, args: text, step, source: sourceLine(), keyed })
    return effect.apply(this, args)
  }
}
