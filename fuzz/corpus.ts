import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Target } from './target.js'

const CORPUS = join(import.meta.dirname, 'corpus')

export type Entry = { readonly file: string; readonly input: Buffer }

/** Reads the inputs of a target from `fuzz/corpus`, in the order of their file names. */
export function readCorpus(target: Target): Entry[] {
  const directory = join(CORPUS, target.name)
  if (!existsSync(directory)) return []
  return readdirSync(directory)
    .sort()
    .map((name) => ({ file: `${target.name}/${name}`, input: readFileSync(join(directory, name)) }))
}

/** Saves an input in `fuzz/corpus`. @returns The file name, relative to `fuzz/corpus`. */
export function keep(target: Target, what: string, input: Uint8Array): string {
  const digest = createHash('sha256').update(input).digest('hex').slice(0, 8)
  const file = `${target.name}/${what}-${digest}`
  mkdirSync(join(CORPUS, target.name), { recursive: true })
  writeFileSync(join(CORPUS, file), input)
  return file
}
