import { registerHooks } from 'node:module'
import { mutants, shortages } from './mutants.ts'

// Loaded before all else: changes the sources of the mutant that the environment names as they are read.
const wanted = process.env['DURABLY_MUTANT']
const mutant = [...mutants, ...shortages].find(({ name }) => name === wanted)
if (mutant === undefined) throw new Error(`no mutant "${wanted}"`)

registerHooks({
  load(url, context, nextLoad) {
    const loaded = nextLoad(url, context)
    const edits = mutant.edits.filter(({ file }) => url.endsWith(`/src/${file}`))
    if (edits.length === 0) return loaded
    const { source: text } = loaded
    let source = typeof text === 'string' ? text : new TextDecoder().decode(text)
    for (const { file, find, replace } of edits) {
      if (source.split(find).length !== 2) throw new Error(`${file} does not have "${find}" once`)
      source = source.replace(find, replace)
    }
    return { ...loaded, source }
  },
})
