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

/**
 * Puts recorders in place of the functions of `effects`, its own and those of its class; the returned function
 * takes them away. Throws `ValidationError` for an object that does not let itself be changed.
 */
export function recordEffects(effects: object, scope: Scope<Actor>): () => void {
  const restores = functionsOf(effects).map(([name, effect]) => {
    const own = Object.getOwnPropertyDescriptor(effects, name)
    const recorded = { value: record(name, effect, scope), configurable: true, writable: true }
    if (!Reflect.defineProperty(effects, name, { ...own, ...recorded })) throw unchangeable(name)
    return () =>
      own === undefined
        ? Reflect.deleteProperty(effects, name)
        : Reflect.defineProperty(effects, name, own)
  })
  return () => restores.forEach((restore) => restore())
}

function functionsOf(effects: object): [string, Effect][] {
  const found = new Map<string, Effect>()
  let owner: object | null = effects
  while (owner !== null && owner !== Object.prototype) {
    for (const [name, { value }] of Object.entries(Object.getOwnPropertyDescriptors(owner))) {
      const isEffect = typeof value === 'function' && name !== 'constructor'
      if (isEffect && !found.has(name)) found.set(name, value as Effect)
    }
    owner = Object.getPrototypeOf(owner) as object | null
  }
  return [...found]
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
    const keyed = idempotencyKey !== null && text.includes(JSON.stringify(idempotencyKey))
    actor.record({ effect: name, args: text, step, source: sourceLine(), keyed })
    return effect.apply(this, args)
  }
}
