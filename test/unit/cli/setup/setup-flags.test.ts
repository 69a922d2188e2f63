import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parseSetupFlags } from '../../../../src/cli/setup/setup-flags.js'
import { ConfigError } from '../../../../src/errors.js'

const NONE = {
  domain: undefined,
  alerts: [],
  yes: false,
  restart: false,
  dryRun: false,
  undo: false,
}

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

test('--alerts can be repeated, and accepts several JIDs', () => {
  const { alerts } = parseSetupFlags([
    '--alerts=A@example.com, b@example.com',
    '-alerts',
    'a@example.com',
  ])
  assert.deepEqual(alerts, ['a@example.com', 'b@example.com'])
})

test('setup rejects wrong flags with one line', () => {
  const wrong = [
    [['--yess'], /Unknown option '--yess'.*setup --help/],
    [['yes'], /setup --help/],
    [['--domain'], /setup --help/],
    [['--domain=a b'], /--domain: expected the component's domain/],
    [['--undo', '--domain=a.b'], /--undo.*--domain/],
    [['--undo', '--alerts=a@b'], /--undo.*--alerts/],
    [['--alerts=a@b/c'], /--alerts: expected a JID without a resource/],
    [['--alerts='], /--alerts: expected a JID/],
  ] as const
  for (const [args, message] of wrong) {
    assert.throws(
      () => parseSetupFlags(args),
      (error) => error instanceof ConfigError && message.test(error.message),
      args.join(' '),
    )
  }
})
