import type { Client } from '../client/client.ts'

/** By its name, or by the key under which it is registered, which is all that a remote client's types know. */
export function findJob(client: Client, nameOrKey: string): ReturnType<Client['getJob']> {
  const jobs = client.jobs as Readonly<Record<string, ReturnType<Client['getJob']>>>
  return client.getJob(nameOrKey) ?? (Object.hasOwn(jobs, nameOrKey) ? jobs[nameOrKey] : undefined)
}
