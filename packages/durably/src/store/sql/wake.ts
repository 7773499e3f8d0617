import { transitions } from '../../core/transitions.ts'

/** What an update sets of a waiting run that is woken: it kept its key, so it is ready at once. */
export const setWoken = `status = '${transitions.wake.to}', ready = (concurrency_key is null or holds_key),
  wake_at = null, waiting_for = null, updated_at = $now::int8`
