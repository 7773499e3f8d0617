import { createDurablyClient } from '@coji/durably/client'
import { createDurablyHooks } from '@coji/durably-react'
import type { durably } from '../server/durably.ts'

export const client = createDurablyClient<typeof durably>({ api: '/api/durably' })
export const { useJob, useJobStream, useRuns, useRunActions } = createDurablyHooks<typeof durably>()
