import BetterSqlite from 'better-sqlite3'
import { describe, expect, test } from 'vitest'
import { z } from 'zod'
import { ConflictError, defineJob, ValidationError, type StepContext } from '../../src/index.ts'
import { sqliteDialect } from '../../src/sqlite.ts'
import { crashTest } from '../../src/testing.ts'

const api = {
  charge: async (_orderId: string, _key?: string) => {},
  sendMail: async (_to: string) => {},
}

const input = z.object({ orderId: z.string() })

function job<T>(run: (step: StepContext, payload: { orderId: string }) => Promise<T>) {
  return defineJob({ name: 'checkout', input, run })
}

const order = { orderId: 'o-1' }

describe('an effect outside of any step', () => {
  const checkout = job(async (step, { orderId }) => {
    await step.run('reserve', () => 'reserved')
    await api.charge(orderId)
    await step.run('mail', (_signal, info) => api.sendMail(info.idempotencyKey))
    return 'sold'
  })

  test.each([
    ['memory', () => undefined],
    ['SQLite', () => sqliteDialect({ database: new BetterSqlite(':memory:') })],
  ])('that runs twice is an error with its line, on %s', async (_name, dialect) => {
    const report = await crashTest(checkout, order, { effects: api, dialect: dialect() })
    expect(report.ok).toBe(false)
    expect(report.outputsAgree).toBe(true)
    expect(report.errors).toEqual([expect.stringContaining('charge("o-1") ran twice')])
    expect(report.warnings).toEqual([])
    expect(report.effects).toMatchObject([
      { effect: 'charge', step: null, times: 1, timesWithCrash: 2, verdict: 'runs again' },
      { effect: 'sendMail', step: 'mail', verdict: 'same effect' },
    ])
    expect(report.effects[0]?.source).toMatch(/crash-test\.test\.ts:24$/)
    expect(report.effects[0]?.crashes).toContain('inside step "mail", before its effects')
    expect(report.toString()).toContain('crash-test.test.ts:24')
  })

  test('dies with its process in each place', async () => {
    const report = await crashTest(checkout, order)
    expect(report.ok).toBe(true)
    expect(report.places.map(({ place }) => place)).toEqual([
      'before storing the start of the run',
      'after storing the start of the run',
      'inside step "reserve", before its effects',
      'inside step "reserve", after its effects',
      'before storing the result of step "reserve"',
      'after storing the result of step "reserve"',
      'inside step "mail", before its effects',
      'inside step "mail", after its effects',
      'before storing the result of step "mail"',
      'after storing the result of step "mail"',
      'before storing the output of the run',
      'after storing the output of the run',
    ])
  })

  test('that is repeated from another line is found, one that only follows a crash is none', async () => {
    const careful = job(async (step, { orderId }) => {
      await step.run('charge', (_signal, info) => api.charge(orderId, info.idempotencyKey))
      await step.run('check', () => api.charge(orderId))
      if (step.attempt > 1) await api.charge(orderId)
      if (step.attempt > 1) await api.sendMail('an operator')
    })
    const { effects } = await crashTest(careful, order, { effects: api })
    expect(effects.map(({ verdict }) => verdict)).toEqual([
      'same effect',
      'may run twice',
      'runs again',
      'once',
    ])
  })

  test('that runs at the very end is found too', async () => {
    const report = await crashTest(
      job(async () => api.charge('o-1')),
      order,
      { effects: api },
    )
    expect(report.effects).toMatchObject([
      { verdict: 'runs again', crashes: ['before storing the output of the run'] },
    ])
  })

  test('that a crash leaves out is an error', async () => {
    const lazy = job(async (step, { orderId }) => {
      await step.run('reserve', () => {})
      const first = step.attempt === 1
      await step.run('charge', async () => (first ? api.charge(orderId) : undefined))
    })
    const report = await crashTest(lazy, order, { effects: api })
    expect(report).toMatchObject({ ok: false, effects: [{ verdict: 'missing' }] })
    expect(report.errors).toEqual([
      expect.stringContaining('charge("o-1") ran less often than once'),
    ])
  })
})

describe('an effect in a step', () => {
  const charge = job(async (step, { orderId }) => {
    await step.run('charge', () => api.charge(orderId))
  })

  test('may run twice, which is a warning', async () => {
    const report = await crashTest(charge, order, { effects: api })
    expect(report.ok).toBe(true)
    expect(report.warnings).toEqual([expect.stringContaining('charge("o-1") ran twice')])
    expect(report.effects).toMatchObject([
      {
        step: 'charge',
        verdict: 'may run twice',
        crashes: [
          'inside step "charge", after its effects',
          'before storing the result of step "charge"',
        ],
      },
    ])
  })

  test('that carries the key of its step is one effect', async () => {
    const keyed = job(async (step, { orderId }) => {
      await step.run('charge', (_signal, info) => api.charge(orderId, info.idempotencyKey))
    })
    const report = await crashTest(keyed, order, { effects: api })
    expect(report).toMatchObject({ ok: true, warnings: [] })
    expect(report.effects).toMatchObject([{ timesWithCrash: 2, verdict: 'same effect' }])
  })

  test('that carries it within a longer text is one effect, unless the rest is another each time', async () => {
    let n = 0
    const keyed = job(async (step, { orderId }) => {
      await step.run('charge "now"', (_signal, info) =>
        api.charge(orderId, `charge-${info.idempotencyKey}`),
      )
      await step.run('mail', (_signal, info) => api.sendMail(`${n++}-${info.idempotencyKey}`))
    })
    const { effects } = await crashTest(keyed, order, { effects: api })
    expect(effects).toMatchObject([{ verdict: 'same effect' }, { verdict: 'may run twice' }])
  })

  test('that is the function of the step has no line of its own', async () => {
    const direct = job((step) => step.run('charge', api.charge as () => Promise<void>))
    const { effects } = await crashTest(direct, order, { effects: api })
    expect(effects).toMatchObject([{ effect: 'charge', step: 'charge', source: null }])
  })

  test('that is declared idempotent is one effect, with the same arguments', async () => {
    const options = { effects: api, idempotent: ['charge'] as const }
    expect(await crashTest(charge, order, options)).toMatchObject({ ok: true, warnings: [] })
    let n = 0
    const random = job((step) => step.run('charge', () => api.charge(`o-${n++}`)))
    expect((await crashTest(random, order, options)).warnings).toHaveLength(1)
  })

  test('that another effect of the same step follows may run twice on its own', async () => {
    const both = job(async (step) => {
      await Promise.all([
        step.run('a', () => api.charge('a')),
        step.run('b', async () => {
          await api.charge('b')
          await api.sendMail('b')
        }),
      ])
    })
    const report = await crashTest(both, order, { effects: api })
    expect(report.ok).toBe(true)
    expect(report.effects.map(({ call, step }) => [call, step])).toEqual([
      ['charge("a")', 'a'],
      ['charge("b")', 'b'],
      ['sendMail("b")', 'b'],
    ])
  })
})

describe('the outcome', () => {
  test('that differs after a crash is an error', async () => {
    const counts = job(async (step) => {
      await step.run('a', () => {})
      return { attempt: step.attempt }
    })
    const report = await crashTest(counts, order)
    expect(report).toMatchObject({ ok: false, outputsAgree: false })
    expect(report.errors[0]).toContain('{"attempt":2} instead of completed {"attempt":1}')
  })

  test('that differs because a step happened twice is a part of the warning', async () => {
    let receipts = 0
    const till = { charge: async () => ++receipts }
    const sell = job((step) => step.run('charge', () => till.charge()))
    const reset = () => {
      receipts = 0
    }
    const report = await crashTest(sell, order, { effects: till, reset })
    expect(report).toMatchObject({ ok: true, outputsAgree: false })
    expect(report.warnings.length).toBeGreaterThan(1)
    const unsteady = await crashTest(sell, order, { effects: till })
    expect(unsteady.warnings).toContainEqual(expect.stringContaining('cannot be compared'))
  })

  test('may be a failure, and hold the id of the run', async () => {
    const fails = job(async (step) => {
      await step.run('a', () => {
        throw new Error(`not today, ${step.runId}`)
      })
    })
    const report = await crashTest(fails, order)
    expect(report.ok).toBe(true)
    expect(report.places.every(({ status }) => status === 'failed')).toBe(true)
    expect(report.places).toContainEqual(
      expect.objectContaining({ place: 'before storing the failure of step "a"' }),
    )
  })

  test('has to come without a crash', async () => {
    const hang = job((step) => step.run('hang', () => new Promise(() => {})))
    await expect(crashTest(hang, order)).rejects.toThrow(ConflictError)
  })
})

test('a loop is told of in one sentence, and crashed in at each turn', async () => {
  const loop = job(async (step) => {
    for (let i = 0; i < 5; i++) await step.run(`charge ${i}`, () => api.charge(`o-${i}`))
  })
  const report = await crashTest(loop, order, { effects: api })
  expect(report.effects).toHaveLength(5)
  expect(report.warnings).toEqual([expect.stringContaining('4 more like it from there')])
  expect(report.places).toHaveLength(24)
})

test('what shares a write by chance is found again', async () => {
  const race = job(async (step) => {
    await Promise.race([
      step.run('slow', () => new Promise((resolve) => void setTimeout(resolve, 5))),
      step.run('fast', () => {}),
    ])
    await step.run('next', () => {})
  })
  const report = await crashTest(race, order)
  expect(report).toMatchObject({ ok: true, outputsAgree: true })
  const names = report.places.map(({ place }) => place)
  expect(names).toContain('before storing the result of step "fast"')
})

test('a job that takes another way each time is said to be tested in part', async () => {
  let runs = 0
  const wandering = job((step) => step.run(`step ${Math.floor(runs++ / 2)}`, () => {}))
  const { warnings } = await crashTest(wandering, order)
  expect(warnings).toContainEqual(expect.stringContaining('Untested crash places'))
})

describe('effects', () => {
  class Till {
    readonly #charged: string[] = []
    charge(orderId: string): number {
      return this.#charged.push(orderId)
    }
  }

  test('may be methods, of which a job is made; they are real, and as before afterwards', async () => {
    const till = new Till()
    const before = Object.getOwnPropertyNames(till)
    const make = ({ charge }: Till) =>
      job(async (step, { orderId }) => {
        charge.call(till, orderId)
        await step.run('mail', () => {})
      })
    const report = await crashTest(make, order, { effects: till })
    expect(report.effects).toMatchObject([{ effect: 'charge', verdict: 'runs again' }])
    expect(Object.getOwnPropertyNames(till)).toEqual(before)
    expect(till.charge('after')).toBeGreaterThan(report.places.length)
  })

  test('may stand in objects of their own', async () => {
    const shop = { mail: { send: (_orderId: string) => {} } }
    const mails = job(async (step, { orderId }) => {
      shop.mail.send(orderId)
      await step.run('store', () => {})
    })
    const { effects } = await crashTest(mails, order, { effects: shop })
    expect(effects).toMatchObject([{ effect: 'mail.send', verdict: 'runs again' }])
    const { errors, warnings } = await crashTest(mails, order, {
      effects: shop,
      idempotent: ['mail.send'],
    })
    expect([...errors, ...warnings]).toEqual([])
  })

  test('may stand in several places, also within themselves, and are put back in each', async () => {
    const send = (_orderId: string): void => {}
    interface Mail {
      readonly smtp: { readonly send: typeof send; mail?: Mail }
    }
    const mail: Mail = { smtp: { send } }
    mail.smtp.mail = mail
    const shop = { mail, notify: mail, again: send, send }
    const mails = job(async (step, { orderId }) => {
      shop.notify.smtp.send(orderId)
      await step.run('store', () => {})
    })
    for (let i = 0; i < 2; i++) {
      const { effects } = await crashTest(mails, order, { effects: shop })
      expect(effects).toMatchObject([{ effect: 'mail.smtp.send', verdict: 'runs again' }])
      expect([mail.smtp.send, shop.again, shop.send]).toEqual([send, send, send])
    }
    const { errors } = await crashTest(mails, order, {
      effects: shop,
      idempotent: ['mail.smtp.send'],
    })
    expect(errors).toEqual([])
    // @ts-expect-error -- there is no such effect
    const unknown = crashTest(mails, order, { effects: shop, idempotent: ['mail.smtp.sent'] })
    await expect(unknown).rejects.toThrow("got 'mail.smtp.sent'")
  })

  test('that the job took out of their object before are warned of: they are not seen', async () => {
    const { charge } = api
    const unseen = job((_step, { orderId }) => charge(orderId))
    const report = await crashTest(unseen, order, { effects: api })
    expect(report).toMatchObject({ ok: true, effects: [] })
    expect(report.warnings).toEqual([
      expect.stringContaining('No effect was called through effects, such as effects.charge(…)'),
    ])
    expect((await crashTest(unseen, order)).warnings).toEqual([])
  })

  test('that are not there, or are being recorded, are refused', async () => {
    const nothing = job(async () => {})
    await expect(crashTest(nothing, order, { effects: { shop: 'closed' } })).rejects.toThrow(
      'effects has no functions',
    )
    const till = new Till()
    const first = crashTest(nothing, order, { effects: till })
    await expect(crashTest(nothing, order, { effects: till })).rejects.toThrow(
      'effects.charge is being recorded by another crashTest',
    )
    await first
    expect(await crashTest(nothing, order, { effects: till })).toMatchObject({ ok: true })
    const idempotent = ['charges' as 'charge']
    await expect(crashTest(nothing, order, { effects: till, idempotent })).rejects.toThrow(
      "idempotent must name functions of effects (charge); got 'charges'",
    )
  })

  test('that cannot be replaced are refused', async () => {
    const frozen = Object.freeze({ ...api })
    const nothing = job(async () => {})
    await expect(crashTest(nothing, order, { effects: frozen })).rejects.toThrow(ValidationError)
    await expect(crashTest(nothing, { orderId: 1 as unknown as string })).rejects.toThrow(
      ValidationError,
    )
  })

  test('that are refused are all as they were, and no database was opened', async () => {
    const { charge } = api
    const shop = { charge, config: Object.freeze({ region: () => 'eu' }) }
    const opens = () => {
      throw new Error('it is opened')
    }
    const dialect = new Proxy(sqliteDialect({ database: new BetterSqlite(':memory:') }), {
      get: opens,
    })
    const nothing = job(async () => {})
    await expect(crashTest(nothing, order, { effects: shop, dialect })).rejects.toThrow(
      'effects.config.region cannot be replaced',
    )
    expect(shop.charge).toBe(charge)
    const report = await crashTest(nothing, order, { effects: { charge: shop.charge } })
    expect(report.ok).toBe(true)
  })
})
