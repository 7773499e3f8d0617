/** A text of SQL in the form its database takes, and the names of its parameters in the order of their places. */
export interface Statement {
  readonly sql: string
  readonly parameters: readonly string[]
  /** Changes nothing: it needs no write lock, and may be sent again at will. */
  readonly readsOnly: boolean
}

/** By name, or all of them in order. */
export type Params = Readonly<Record<string, unknown>> | readonly unknown[]

/** How a database writes its parameters. */
export interface ParameterStyle {
  /** Whether a parameter that stands twice is sent once. */
  readonly numbered: boolean
  /** The parameter at `position`, from 1, of the SQL type `type`. */
  parameter(position: number, type: string): string
}

const namedParameter = /\$(\w+)::(\w+)/g

/** Turns `$name::type` into what the database takes. */
export function compile(text: string, readsOnly: boolean, style: ParameterStyle): Statement {
  const parameters: string[] = []
  const sql = text.replace(namedParameter, (_, name: string, type: string) => {
    const known = style.numbered ? parameters.indexOf(name) : -1
    const index = known === -1 ? parameters.push(name) - 1 : known
    return style.parameter(index + 1, type)
  })
  return { sql: sql.replace(/\s+/g, ' ').trim(), parameters, readsOnly }
}

/** The values of a statement's parameters, in order. */
export function bind({ parameters }: Statement, params: Params): readonly unknown[] {
  return isInOrder(params) ? params : parameters.map((name) => params[name])
}

// Array.isArray does not narrow readonly arrays.
function isInOrder(params: Params): params is readonly unknown[] {
  return Array.isArray(params)
}
