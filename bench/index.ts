// Runs the benchmarks of `ALL`, or the named ones, one after another, each in its own process. Each measurement is
// one line: usually the ratio of the exporter's median to the median of another program that the same benchmark
// measures (the peer). Most lines also have the 10th and 90th percentile of both.
// Run: npm run bench [-- --markdown] [name …], on a machine without other load.

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import process from 'node:process'
import { run } from '../test/support/setup/process.js'
import { parameters } from './figure.js'

const ALL = [
  'costs',
  'collection',
  'silence',
  'rates',
  'restart',
  'served',
  'render',
  'memory',
  'footprint',
  'loop',
  'growth',
  'counts',
  'servers',
  'outside',
  'outside-domains',
]
const markdown = process.argv.includes('--markdown')

// The benchmarks start the exporter from dist/, so this script builds dist/ first.
const built = await run('npm', ['run', '--silent', 'build'])
if (built.code !== 0) throw new Error(built.output)
const names = parameters.length > 0 ? parameters : ALL
// The benchmark `costs` prints tables of its own.
if (markdown && names.some((name) => name !== 'costs')) {
  console.log('| Measurement | Ratio | prosody-exporter | Peer |\n|---|---:|---:|---:|')
}
for (const name of names) {
  const child = spawn(
    process.execPath,
    ['--import', 'tsx', '--expose-gc', join(import.meta.dirname, `${name}.ts`)].concat(
      markdown ? '--markdown' : [],
    ),
    { stdio: 'inherit' },
  )
  const [code] = (await once(child, 'exit')) as [number | null]
  if (code !== 0) process.exitCode = 1
}
