// The manual page is generated from the tables of commands and settings. docs.test.ts checks that it is up to date.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { COMMANDS, EXPORTER, formatUsage } from '../../../src/cli/commands.js'
import {
  hasVariable,
  isCollectorSwitch,
  isFlag,
  SETTINGS,
  toVariableName,
} from '../../../src/config/settings.js'
import { manualPage } from '../../../tools/manual.js'

const page = manualPage('1.2.3')
/** The page without fonts and escapes. */
const text = page.replaceAll(/\\f[BIR]/g, '').replaceAll('\\-', '-')

/** The lines of a section, for example `OPTIONS`. */
function section(name: string): string[] {
  const [, body = ''] =
    new RegExp(`^\\.SH ${name}\n([^]*?)(?=\n\\.SH |$(?![^]))`, 'm').exec(text) ?? []
  return body.split('\n')
}

test('the manual page has the usual sections in the usual order', () => {
  const sections = Array.from(text.matchAll(/^\.SH (.+)$/gm), ([, name]) => name)
  assert.deepEqual(sections, [
    ...['NAME', 'SYNOPSIS', 'DESCRIPTION', 'COMMANDS', 'OPTIONS', 'COLLECTORS', 'ENVIRONMENT'],
    ...['FILES', 'EXIT STATUS', 'EXAMPLES', 'SEE ALSO'],
  ])
  assert.match(text, /^\.TH PROSODY-EXPORTER 1 "" "prosody-exporter 1\.2\.3" "User Commands"$/m)
  assert.deepEqual(section('NAME'), [
    'prosody-exporter - Prometheus exporter for the XMPP server Prosody',
  ])
})

test('the manual page has each command with its usage, flags, exit codes and examples', () => {
  const synopsis = section('SYNOPSIS')
    .join(' ')
    .replaceAll(/\.SY "([^"]*)"/g, '$1')
  const commands = section('COMMANDS')
  const examples = section('EXAMPLES')
  for (const help of [EXPORTER, ...COMMANDS]) {
    for (const line of formatUsage(help)) assert.ok(synopsis.includes(line), line)
    for (const { term } of help.examples) assert.ok(examples.includes(term), term)
  }
  for (const { name, flags, operands = [] } of COMMANDS) {
    const own = commands.slice(commands.indexOf(`.SS ${name}`) + 1)
    for (const { term } of [...flags, ...operands]) assert.ok(own.includes(term), `${name} ${term}`)
    assert.ok(section('EXIT STATUS').includes(`${name}:`), name)
  }
})

test('the manual page has each flag, environment variable and collector', () => {
  const options = section('OPTIONS')
  for (const setting of SETTINGS) {
    const variable = toVariableName(setting.name)
    if (isCollectorSwitch(setting)) {
      assert.ok(section('COLLECTORS').includes(setting.name.replace('collector.', '')))
    } else if (isFlag(setting)) {
      const term = `--${setting.name}`
      assert.ok(
        options.some((line) => line === term || line.startsWith(`${term}=`)),
        term,
      )
      const line = `Environment: ${variable}.`
      assert.equal(options.includes(line), hasVariable(setting), line)
    } else {
      const isListed = section('ENVIRONMENT').some((line) => line.startsWith(`${variable}=`))
      assert.ok(isListed, variable)
    }
  }
})

test('the manual page has only characters and requests that every version of man understands', () => {
  assert.match(page, /^[\n\x20-\x7e]+$/)
  const requests = Array.from(page.matchAll(/^[.'](\S+)/gm), ([, request]) => request)
  const known = ['\\"', 'TH', 'SH', 'SS', 'SY', 'YS', 'TP', 'PP', 'br', 'nh', 'ad']
  assert.deepEqual(
    [...new Set(requests)].filter((each) => !known.includes(each!)),
    [],
  )
  // A hyphen without a backslash is not the character of flags.
  assert.doesNotMatch(page.replace(/^\.\\".*$/m, ''), /(?<!\\)-/)
  assert.doesNotMatch(page, /\\(?!-|f[BIR]|&|"|e|\(ha|\(ti|\(ga)/)
})
