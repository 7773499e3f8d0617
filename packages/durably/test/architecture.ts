import { posix } from 'node:path'
import { parseSync } from 'oxc-parser'

/** A source file; `path` is relative to src, with forward slashes. */
export interface Source {
  path: string
  text: string
}

const MAX_FILE_LINES = 400
const MAX_FUNCTION_LINES = 70

const STORE_PORT = 'store/store.ts'
const CLIENT_PORT = 'client/client.ts'
const LOCAL_CLIENT = 'engine/local-client.ts'
const ENVIRONMENT = 'env.ts'
const ROOT_ENTRY = 'index.ts'
const SQL = 'store/sql/'
const DIALECTS = 'store/sql/dialects/'

/** Files beside the rooms. They compose, so they may import everything. */
const ENTRIES = [
  ROOT_ENTRY,
  'durably.ts',
  'sqlite.ts',
  'postgres.ts',
  'client.ts',
  'observers.ts',
  'browser.ts',
  'node.ts',
  'testing.ts',
]
const DIALECT_ENTRIES = ['sqlite.ts', 'postgres.ts']

interface Room {
  /** Rooms (ending in a slash) and single files, besides the room itself. */
  may: readonly string[]
  packages: readonly string[]
}

/** DESIGN's table: what a room may import. */
const ROOMS: Readonly<Record<string, Room>> = {
  core: { may: [], packages: ['@standard-schema/spec', 'devalue'] },
  events: { may: ['core/'], packages: [] },
  store: { may: ['core/'], packages: ['kysely'] },
  engine: { may: ['core/', STORE_PORT], packages: ['@standard-schema/spec'] },
  client: { may: ['core/', 'events/'], packages: [] },
  http: { may: ['core/', CLIENT_PORT], packages: [] },
  testing: {
    may: ['core/', 'events/', 'store/', 'engine/', 'client/', 'durably.ts', ENVIRONMENT],
    packages: ['@standard-schema/spec', 'kysely', 'uuidv7'],
  },
}

/** Every way in which these sources break the rules, as `path: what` or `path:line: what`. */
export function offences(sources: readonly Source[]): string[] {
  const modules = sources.map(parse)
  return [
    ...modules.flatMap((module) => RULES.flatMap((rule) => rule(module))),
    ...nodeReachedFromRoot(modules),
    ...circles(modules),
  ]
}

interface Module extends Source {
  program: Node
  imports: Import[]
  /** The text with comments blanked, line by line as before. */
  code: string
}

interface Import {
  specifier: string
  /** The file it means, relative to src, unless it is a package. */
  file: string | undefined
  line: number
}

interface Node {
  type: string
  start: number
  end: number
  [key: string]: unknown
}

const RULES: readonly ((module: Module) => string[])[] = [
  names,
  places,
  imports,
  rootEntry,
  lengths,
  environment,
  dialectNames,
  sqlText,
]

function parse(source: Source): Module {
  const { program, comments, errors } = parseSync(source.path, source.text)
  if (errors[0]) throw new Error(`${source.path}: ${errors[0].message}`)
  let code = source.text
  for (const { start, end } of comments) {
    const blank = code.slice(start, end).replace(/[^\n]/g, ' ')
    code = code.slice(0, start) + blank + code.slice(end)
  }
  const module = { ...source, program: program as unknown as Node, imports: [], code }
  return { ...module, imports: importsOf(module) }
}

function importsOf(module: Module): Import[] {
  const found: Import[] = []
  walk(module.program, (node) => {
    if (!IMPORTING.has(node.type) || !isNode(node.source)) return
    const specifier = node.source.value
    if (typeof specifier !== 'string') return
    const relative = specifier.startsWith('.')
    const file = relative ? posix.join(posix.dirname(module.path), specifier) : undefined
    found.push({ specifier, file, line: lineOf(module, node.start) })
  })
  return found
}

const IMPORTING = new Set([
  'ImportDeclaration',
  'ExportAllDeclaration',
  'ExportNamedDeclaration',
  'ImportExpression',
  'TSImportType',
])

const VAGUE = new Set(['utils', 'util', 'helpers', 'helper', 'types', 'manager'])

function names({ path }: Module): string[] {
  const segments = path.replace(/\.ts$/, '').split('/')
  return segments.flatMap((segment) => {
    if (!/^[a-z0-9]+(-[a-z0-9]+)*$/.test(segment))
      return [`${path}: "${segment}" is not kebab-case`]
    const vague = segment.split('-').find((word) => VAGUE.has(word))
    return vague ? [`${path}: "${vague}" says nothing about what is inside`] : []
  })
}

function places({ path }: Module): string[] {
  const room = roomOf(path)
  if (room === undefined) {
    return path === ENVIRONMENT || ENTRIES.includes(path) ? [] : [`${path}: is not a known entry`]
  }
  return ROOMS[room] ? [] : [`${path}: is in no known room`]
}

function imports(module: Module): string[] {
  return module.imports.flatMap((imported) =>
    mayImport(module.path, imported)
      ? []
      : [`${module.path}:${imported.line}: may not import ${imported.specifier}`],
  )
}

function mayImport(from: string, { specifier, file }: Import): boolean {
  if (ENTRIES.includes(from)) return true
  if (from === ENVIRONMENT) return file ? file.startsWith('core/') : specifier === 'uuidv7'
  const name = roomOf(from)
  const room = name === undefined ? undefined : ROOMS[name]
  if (!room) return false
  if (file === undefined) {
    // A dialect's wake-up may load the client it is for, a subpath keeps it out of the root entry.
    return packageIn(room.packages, specifier) || from.startsWith(DIALECTS)
  }
  if (from === LOCAL_CLIENT && file.startsWith('events/')) return true
  return [`${name}/`, ...room.may].some((place) =>
    place.endsWith('/') ? file.startsWith(place) : file === place,
  )
}

function packageIn(packages: readonly string[], specifier: string): boolean {
  return packages.some((name) => specifier === name || specifier.startsWith(`${name}/`))
}

function roomOf(path: string): string | undefined {
  return path.includes('/') ? path.split('/')[0] : undefined
}

function rootEntry(module: Module): string[] {
  if (module.path !== ROOT_ENTRY) return []
  const body = module.program.body as Node[]
  return body
    .filter((node) => node.type !== 'ExportNamedDeclaration' || !isNode(node.source))
    .map((node) => `${at(module, node)}: holds named exports from other files only`)
}

function lengths(module: Module): string[] {
  const found: string[] = []
  const lines = module.text.replace(/\n$/, '').split('\n').length
  if (lines > MAX_FILE_LINES) found.push(`${module.path}: has ${lines} lines`)
  walk(module.program, (node) => {
    if (!FUNCTIONS.has(node.type)) return
    const span = lineOf(module, node.end) - lineOf(module, node.start) + 1
    if (span > MAX_FUNCTION_LINES) found.push(`${at(module, node)}: a function of ${span} lines`)
  })
  return found
}

const FUNCTIONS = new Set(['FunctionDeclaration', 'FunctionExpression', 'ArrowFunctionExpression'])

const AMBIENT = new Set([
  'setTimeout',
  'setInterval',
  'setImmediate',
  'clearTimeout',
  'clearInterval',
  'clearImmediate',
  'requestAnimationFrame',
  'performance',
  'crypto',
])
const AMBIENT_MEMBERS = new Set(['Date.now', 'Math.random', 'AbortSignal.timeout'])
const AMBIENT_PACKAGES = /^(node:)?(crypto|timers|timers\/promises|perf_hooks)$/

/** Time and chance come through Env, or a simulation could not repeat them. */
function environment(module: Module): string[] {
  if (module.path === ENVIRONMENT) return []
  const found = module.imports
    .filter(({ specifier }) => AMBIENT_PACKAGES.test(specifier))
    .map(({ specifier, line }) => `${module.path}:${line}: ${specifier} outside ${ENVIRONMENT}`)
  walk(module.program, (node, parent) => {
    const what = ambient(node, parent)
    if (what) found.push(`${at(module, node)}: ${what} outside ${ENVIRONMENT}`)
  })
  return found
}

function ambient(node: Node, parent: Node | undefined): string | undefined {
  switch (node.type) {
    case 'NewExpression':
      return nameOf(node.callee) === 'Date' && lengthOf(node.arguments) === 0
        ? 'new Date()'
        : undefined
    case 'CallExpression':
      return nameOf(node.callee) === 'Date' ? 'Date()' : undefined
    case 'MemberExpression': {
      const object = nameOf(node.object)
      const property = memberOf(node)
      if (object === undefined || property === undefined) return undefined
      if (object === 'globalThis' && AMBIENT.has(property)) return property
      const member = `${object}.${property}`
      return AMBIENT_MEMBERS.has(member) ? member : undefined
    }
    case 'Identifier': {
      const name = nameOf(node)
      return name !== undefined && AMBIENT.has(name) && !isKey(node, parent) ? name : undefined
    }
    default:
      return undefined
  }
}

/** `x.setTimeout` and `{ setTimeout: … }` only use the word, but `{ setTimeout }` takes the thing. */
function isKey(node: Node, parent: Node | undefined): boolean {
  if (parent?.type === 'MemberExpression') return parent.property === node && !parent.computed
  return parent !== undefined && 'key' in parent && parent.key === node && !parent.computed
}

const DIALECT_NAME = /sqlite|libsql|postgres|pglite/i

function dialectNames(module: Module): string[] {
  if (module.path.startsWith(DIALECTS) || DIALECT_ENTRIES.includes(module.path)) return []
  return module.code.split('\n').flatMap((line, index) => {
    const name = DIALECT_NAME.exec(line)?.[0]
    return name ? [`${module.path}:${index + 1}: names the dialect ${name}`] : []
  })
}

const SQL_TEXT =
  /\b(select|insert\s+into|update|delete\s+from)\b.*\b(from|set|values|where|returning)\b/is

function sqlText(module: Module): string[] {
  if (module.path.startsWith(SQL)) return []
  const found: string[] = []
  walk(module.program, (node) => {
    const tagged = node.type === 'TaggedTemplateExpression' && nameOf(node.tag) === 'sql'
    if (tagged || SQL_TEXT.test(textOf(node))) found.push(`${at(module, node)}: SQL outside ${SQL}`)
  })
  return found
}

function textOf(node: Node): string {
  if (node.type === 'Literal' && typeof node.value === 'string') return node.value
  if (node.type !== 'TemplateLiteral') return ''
  const quasis = node.quasis as { value: { raw: string } }[]
  return quasis.map(({ value }) => value.raw).join('?')
}

function nodeReachedFromRoot(modules: readonly Module[]): string[] {
  const byPath = new Map(modules.map((module) => [module.path, module]))
  const reached = new Set([ROOT_ENTRY])
  // A set may grow while it is walked; every file is visited once.
  const found: string[] = []
  for (const path of reached) {
    for (const { specifier, file, line } of byPath.get(path)?.imports ?? []) {
      if (file !== undefined) reached.add(file)
      else if (specifier.startsWith('node:')) {
        found.push(`${path}:${line}: ${specifier} is reachable from ${ROOT_ENTRY}`)
      }
    }
  }
  return found
}

/** Files that lead back to themselves, or lie between such files; also by types, of which the compiled files tell nothing. */
function circles(modules: readonly Module[]): string[] {
  let left = modules.map(({ path, imports }) => ({
    path,
    to: imports.flatMap(({ file }) => file ?? []),
  }))
  while (true) {
    const paths = new Set(left.map(({ path }) => path))
    const imported = new Set(left.flatMap(({ to }) => to))
    const inner = left.filter(
      ({ path, to }) => imported.has(path) && to.some((file) => paths.has(file)),
    )
    if (inner.length === left.length) break
    left = inner
  }
  return left.map(({ path }) => `${path}: imports go round in a circle`)
}

function walk(
  node: Node,
  visit: (node: Node, parent: Node | undefined) => void,
  parent?: Node,
): void {
  visit(node, parent)
  for (const value of Object.values(node)) {
    for (const child of Array.isArray(value) ? (value as unknown[]) : [value]) {
      if (isNode(child)) walk(child, visit, node)
    }
  }
}

function isNode(value: unknown): value is Node {
  return typeof value === 'object' && value !== null && 'type' in value
}

function nameOf(node: unknown): string | undefined {
  return isNode(node) && node.type === 'Identifier' ? String(node.name) : undefined
}

function memberOf({ computed, property }: Node): string | undefined {
  if (!computed) return nameOf(property)
  return isNode(property) && typeof property.value === 'string' ? property.value : undefined
}

function lengthOf(list: unknown): number {
  return Array.isArray(list) ? list.length : 0
}

function at(module: Module, node: Node): string {
  return `${module.path}:${lineOf(module, node.start)}`
}

function lineOf({ text }: Source, offset: number): number {
  return text.slice(0, offset).split('\n').length
}
