import { expect, test } from 'vitest'
import { gatherReads } from '../../src/store/sql/gather-reads.ts'

/** Reads all but 'none'; `asked`: the ids of each statement. */
function setUp(refuse: (ids: readonly string[]) => boolean = () => false) {
  const asked: string[][] = []
  const read = gatherReads(async (ids) => {
    asked.push([...ids])
    await Promise.resolve()
    if (refuse(ids)) throw new Error(`refused ${ids.join()}`)
    return new Map(ids.filter((id) => id !== 'none').map((id) => [id, { id }]))
  })
  return { asked, read }
}

const many = Array.from({ length: 250 }, (_, i) => `id ${i}`)

test('what is asked for in the same breath is one statement, each id once', async () => {
  const { asked, read } = setUp()
  const found = await Promise.all(['a', 'b', 'none', 'a'].map(read))
  expect(found).toEqual([{ id: 'a' }, { id: 'b' }, null, { id: 'a' }])
  expect(asked).toEqual([['a', 'b', 'none']])
})

test('what is asked for later is read later: it may have changed', async () => {
  const { asked, read } = setUp()
  const early = read('a')
  await Promise.resolve()
  await Promise.resolve()
  await Promise.all([early, read('a')])
  expect(asked).toEqual([['a'], ['a']])
})

test('a statement takes a hundred, and nobody is forgotten', async () => {
  const { asked, read } = setUp()
  expect(await Promise.all(many.map(read))).toEqual(many.map((id) => ({ id })))
  expect(asked.map((ids) => ids.length)).toEqual([100, 100, 50])
})

test('of a statement that is refused, each is read alone, and only the offender is told', async () => {
  const { read } = setUp((ids) => ids.includes('bad'))
  const answers = await Promise.allSettled(['a', 'bad', 'b'].map(read))
  expect(answers.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'fulfilled'])
  expect(await read('c')).toEqual({ id: 'c' })
})
