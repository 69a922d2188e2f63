/** Writes the copyright file that Debian requires in a package. */

import { readdir, readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'

/**
 * @param {string} path
 * @returns {Promise<Record<string, unknown>>}
 */
export async function readJson(path) {
  /** @type {unknown} */
  const value = JSON.parse(await readFile(path, 'utf8'))
  return /** @type {Record<string, unknown>} */ (value)
}

/**
 * Returns the text of the copyright file. It has the license of the exporter and of each bundled npm package.
 *
 * @param {string} home
 * @see https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/
 */
export async function copyright(home) {
  const format = 'https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/'
  const modules = await packagesIn(join(home, 'node_modules'))
  const stanzas = [{ files: '*', directory: home, license: 'MIT' }]
  for (const name of modules) {
    const { license } = await readJson(join(home, 'node_modules', name, 'package.json'))
    const directory = join(home, 'node_modules', name)
    stanzas.push({
      files: `usr/lib/prosody-exporter/node_modules/${name}/*`,
      directory,
      license: String(license),
    })
  }
  const texts = await Promise.all(
    stanzas.map(async ({ files, directory, license }) => {
      const name = (await readdir(directory)).find((each) => /^licen[cs]e/i.test(each))
      const text = name
        ? await readFile(join(directory, name), 'utf8')
        : 'As its package.json says.'
      if (name && directory !== home) await rm(join(directory, name))
      const lines = text.trimEnd().split('\n')
      const holder = lines.find((line) => /^copyright/i.test(line)) ?? 'its authors'
      const body = lines.map((line) => ` ${line.trim() === '' ? '.' : line.trimEnd()}`).join('\n')
      return `Files: ${files}\nCopyright: ${holder.replace(/^copyright\s*(\(c\))?\s*/i, '')}\nLicense: ${license}\n${body}\n`
    }),
  )
  return [`Format: ${format}\nUpstream-Name: prosody-exporter\n`, ...texts].join('\n')
}

/** @param {string} modules */
async function packagesIn(modules) {
  const names = await readdir(modules)
  const scoped = await Promise.all(
    names.map(async (name) => {
      if (!name.startsWith('@')) return [name]
      return (await readdir(join(modules, name))).map((each) => `${name}/${each}`)
    }),
  )
  return scoped.flat().sort()
}
