import { expect, test } from 'vitest'
import { bind, compile, type ParameterStyle } from '../../src/store/sql/statement.ts'

const questionMarks: ParameterStyle = { numbered: false, parameter: () => '?' }
const numbers: ParameterStyle = {
  numbered: true,
  parameter: (position, type) => `$${position}::${type}`,
}
const text = `select $now::int8
  from runs where id = $id::text and at < $now::int8 and data -> '$.x' is null`

test('a parameter that stands twice is sent twice where parameters have no numbers', () => {
  const statement = compile(text, true, questionMarks)
  expect(statement).toEqual({
    sql: `select ? from runs where id = ? and at < ? and data -> '$.x' is null`,
    parameters: ['now', 'id', 'now'],
    readsOnly: true,
  })
  expect(bind(statement, { id: 'a', now: 1, unused: true })).toEqual([1, 'a', 1])
})

test('and once where they have', () => {
  const statement = compile(text, false, numbers)
  expect(statement).toEqual({
    sql: `select $1::int8 from runs where id = $2::text and at < $1::int8 and data -> '$.x' is null`,
    parameters: ['now', 'id'],
    readsOnly: false,
  })
  expect(bind(statement, { id: 'a', now: 1 })).toEqual([1, 'a'])
})
