import type { Dialect } from 'kysely'
import type { z } from 'zod'
import type { Tab } from '../../src/browser.ts'
import type { Durably, JobDefinition, JobHandle, Run, StepContext } from '../../src/index.ts'

type ImportUsers = JobDefinition<
  'import-users',
  z.ZodObject<{ url: z.ZodString }>,
  { rows: number }
>

/** What code in the docs uses without saying where it comes from. A block may declare any of it anew. */
declare global {
  const dialect: Dialect
  const durably: Durably<{ importUsers: ImportUsers }>
  const importUsersJob: ImportUsers
  const importUsers: JobHandle<ImportUsers>
  const run: Run
  const runId: string
  const url: string
  const tab: Tab

  const step: StepContext
  const payload: { readonly userId: string }
  const pages: readonly string[]
  const api: {
    loadOrder(id: string): Promise<{ customerId: string; items: { price: number }[] }>
    charge(customerId: string, amount: number): Promise<{ id: string }>
    loadUser(id: string): Promise<{ name: string }>
    loadOrders(userId: string): Promise<string[]>
    importPage(page: string): Promise<void>
    generate(question: string, signal: AbortSignal): AsyncIterable<string>
    send(userId: string): Promise<void>
    mail(to: string, text: string): Promise<void>
  }
  const vault: { encrypt(text: string): Promise<string>; decrypt(text: string): string }
  function userOf(request: Request): { readonly tenant: string; readonly isAdmin: boolean } | null
  function createAccount(email: string): Promise<{ id: string }>
  function sendMail(to: string, text: string): Promise<void>
}
