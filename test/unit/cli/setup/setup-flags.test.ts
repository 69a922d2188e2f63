import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parseSetupFlags } from '../../../../src/cli/setup/setup-flags.js'
import { ConfigError } from '../../../../src/errors.js'

const NONE = { domain: undefined, yes: false, restart: false, dryRun: false, undo: false }

test('setup accepts its flags with one or two dashes', () => {
  assert.deepEqual(parseSetupFlags([]), NONE)
  assert.deepEqual(parseSetupFlags(['--yes', '-restart', '--domain=Stats.Example.COM']), {
    ...NONE,
    yes: true,
    restart: true,
    domain: 'stats.example.com',
  })
  assert.deepEqual(parseSetupFlags(['--undo', '--dry-run']), { ...NONE, undo: true, dryRun: true })
})

test('setup rejects wrong flags with one line', () => {
  const wrong = [
    [['--yess'], /Unknown option '--yess'.*setup --help/],
    [['yes'], /setup --help/],
    [['--domain'], /setup --help/],
    [['--domain=a b'], /--domain: expected the component's domain/],
    [['--undo', '--domain=a.b'], /--undo.*--domain/],
  ] as const
  for (const [args, message] of wrong) {
    assert.throws(
      () => parseSetupFlags(args),
      (error) => error instanceof ConfigError && message.test(error.message),
      args.join(' '),
    )
  }
})
