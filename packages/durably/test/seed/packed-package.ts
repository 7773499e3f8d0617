import { execFile } from 'node:child_process'
import { cpSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'

const run = promisify(execFile)

const packageFolder = fileURLToPath(new URL('../..', import.meta.url))
export const nodeModules = fileURLToPath(new URL('../../../../node_modules', import.meta.url))

/** Runs the repository's TypeScript compiler. Rejects, with what it says, when it finds errors. */
export async function compile(...args: string[]): Promise<void> {
  await run(process.execPath, [join(nodeModules, 'typescript/bin/tsc'), ...args]).catch(
    (error: { stdout?: string }) => {
      throw new Error(`tsc ${args.join(' ')}\n${error.stdout}`, { cause: error })
    },
  )
}

/** Packs the package as a release would, and unpacks it as an install would. Returns the folder it is in. */
export async function unpackPackage(folder: string): Promise<string> {
  const source = join(folder, 'source')
  for (const file of ['package.json', 'README.md', 'LICENSE']) {
    cpSync(join(packageFolder, file), join(source, file))
  }
  const dist = join(source, 'dist')
  // Not into the package's own dist, which others may be using.
  const buildInfo = join(dist, '.tsbuildinfo')
  await compile('-p', packageFolder, '--outDir', dist, '--tsBuildInfoFile', buildInfo)
  await run('npm', ['pack', source, '--pack-destination', folder], { cwd: folder })
  const tarball = readdirSync(folder).find((name) => name.endsWith('.tgz'))
  if (tarball === undefined) throw new Error(`npm pack left no tarball in ${folder}`)
  await run('tar', ['-xzf', tarball], { cwd: folder })
  return join(folder, 'package')
}
