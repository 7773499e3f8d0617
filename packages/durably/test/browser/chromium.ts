import { execFileSync } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, renameSync } from 'node:fs'
import { delimiter, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { LaunchOptions } from 'playwright'

// Those that come with the package break cross-origin isolation, without which there is no OPFS.
const args = [
  '--no-sandbox',
  '--no-zygote',
  '--disable-gpu',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
]

const manifest = new URL('../package.json', import.meta.resolve('@sparticuz/chromium'))
const cache = fileURLToPath(new URL('../../../../node_modules/.cache', import.meta.url))

/** How Playwright starts Chromium: one that came from the package registry, or where it has none its own. */
export function launchOptions(): LaunchOptions {
  if (process.platform !== 'linux' || process.arch !== 'x64') return {}
  const folder = unpacked()
  const libraries = [join(folder, 'al2023', 'lib'), process.env.LD_LIBRARY_PATH ?? []].flat()
  return {
    executablePath: join(folder, 'chromium'),
    args,
    env: { ...process.env, LD_LIBRARY_PATH: libraries.join(delimiter) },
  }
}

/** The package unpacks itself into the temporary folder: here one of its own, which others see when it is whole. */
function unpacked(): string {
  const { version } = JSON.parse(readFileSync(manifest, 'utf8')) as { version: string }
  const folder = join(cache, `chromium-${version}`)
  if (existsSync(folder)) return folder
  mkdirSync(cache, { recursive: true })
  const draft = mkdtempSync(`${folder}-`)
  // As it does there, it also unpacks the libraries that a bare system lacks.
  const env = { ...process.env, TMPDIR: draft, AWS_EXECUTION_ENV: 'nodejs24.x' }
  execFileSync(process.execPath, ['--input-type=module', '--eval', unpack], { cwd: cache, env })
  try {
    renameSync(draft, folder)
  } catch (error) {
    // Another process was first.
    if (!existsSync(folder)) throw error
  }
  return folder
}

const unpack = `
  import chromium from '@sparticuz/chromium'
  await chromium.executablePath()`
