import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { COMMANDS, EXPORTER, findCommand } from '../../../src/cli/commands.js'
import { DOCTOR_FLAGS } from '../../../src/cli/doctor/doctor-command.js'
import { formatCommandHelp, formatHelp } from '../../../src/cli/format-help.js'
import { ConfigError } from '../../../src/errors.js'

const MAX_WIDTH = 100

const flagsIn = (text: string) => text.match(/(?<![\w-])--[a-z][\w.-]*/g) ?? []

function assertFits(help: string) {
  const tooLong = help.split('\n').filter((line) => line.length > MAX_WIDTH)
  assert.deepEqual(tooLong, [])
  assert.doesNotMatch(help, / $/m)
  assert.match(help, /\S\n$/)
}

test('the help starts with the usage, then lists each command in one line, then the flags', () => {
  const help = formatHelp()
  assertFits(help)
  const [usage = '', commands = '', ...flags] = help.split('\n\n')
  assert.match(usage, /^Usage: prosody-exporter /)
  for (const { name, summary } of COMMANDS) {
    assert.match(commands, new RegExp(`^  ${name} +\\S`, 'm'))
    assert.ok(commands.includes(`  ${summary}\n`) || commands.endsWith(`  ${summary}`), name)
  }
  assert.match(flags.join('\n'), /^ {2}--xmpp\.domain=JID\n/m)
})

describe('the help of a command', () => {
  for (const command of COMMANDS) {
    const { name, flags, operands = [], usage, exitCodes, examples } = command
    const help = formatCommandHelp(command)

    test(`has every part: ${name}`, () => {
      assertFits(help)
      assert.ok(help.startsWith(`Usage: prosody-exporter ${name} `))
      for (const line of usage) assert.ok(help.includes(`prosody-exporter ${name} ${line}\n`), line)
      for (const { term, text } of [...operands, ...flags, ...examples]) {
        assert.ok(help.includes(`\n  ${term}\n      ${text.split(' ')[0]}`), term)
      }
      assert.deepEqual(
        help.match(/^ {2}\d(?= )/gm),
        exitCodes.map(({ term }) => `  ${term}`),
      )
    })

    test(`lists the same flags in the usage, the list and the examples: ${name}`, () => {
      const listed = flags.flatMap(({ term }) => flagsIn(term))
      assert.deepEqual(new Set([...flagsIn(usage.join(' ')), '--help']), new Set(listed))
      if (command.hasExporterFlags) return
      for (const { term } of examples)
        for (const flag of flagsIn(term)) assert.ok(listed.includes(flag), term)
    })

    test(`has examples that run the command: ${name}`, () => {
      assert.ok(examples.length > 0)
      for (const { term } of examples) assert.ok(`${term} `.startsWith(`prosody-exporter ${name} `))
    })
  }

  test('of doctor has the flags that doctor reads', () => {
    const listed = findCommand('doctor').flags.map(({ term }) => term)
    assert.deepEqual(new Set(listed.filter((term) => !/help/.test(term))), new Set(DOCTOR_FLAGS))
  })
})

test('every text is a sentence', () => {
  const entries = [EXPORTER, ...COMMANDS].flatMap(({ exitCodes, examples }) => [
    ...exitCodes,
    ...examples,
  ])
  const texts = COMMANDS.flatMap(({ summary, flags, operands = [] }) => [
    summary,
    ...[...flags, ...operands].map(({ text }) => text),
  ])
  for (const text of [...texts, ...entries.map((each) => each.text)]) {
    assert.match(text, /^[A-Z].*\.$/)
  }
})

test('an unknown command is an error that lists the commands in one line', () => {
  for (const name of ['docter', '', 'Doctor', 'a\nb']) {
    assert.throws(() => findCommand(name), {
      name: ConfigError.name,
      message: `unknown command ${JSON.stringify(name)}: expected setup, doctor, outside, compare or help. See --help.`,
    })
  }
})
