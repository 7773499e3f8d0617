export const tickTypes: readonly string[] = ['run:progress', 'step:start', 'worker:error']

/** Whether an event stands in no journal: it has the position of the fact before it. */
export function isTick({ type }: { readonly type: string }): boolean {
  return tickTypes.includes(type)
}
