import type { Wait } from './run.ts'

/** What may come into the mailbox of a run: of which of its waits it can be the end, and by which name. */
export type MessageKind = 'signal' | 'token' | 'run' | 'wake'

const endedBy: Readonly<Record<MessageKind, readonly Wait['kind'][]>> = {
  signal: ['signal'],
  token: ['token'],
  run: ['run'],
  wake: ['sleep', 'retry'],
}

/** Whether a message can end one of the open waits. Of waits that cannot be read it is taken that it does. */
export function awaits(
  waits: readonly Pick<Wait, 'kind' | 'name'>[] | null,
  { kind, name }: { readonly kind: MessageKind; readonly name: string },
): boolean {
  if (waits === null) return true
  return waits.some((wait) => wait.name === name && endedBy[kind].includes(wait.kind))
}
