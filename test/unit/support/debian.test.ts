import assert from 'node:assert/strict'
import { test } from 'node:test'
import { essentialPackages, readSources, sourcesFor } from '../../support/setup/debian.js'
import { lastErrors } from '../../support/setup/prosody.js'

const STANZAS = `# the archive
Types: deb deb-src
URIs: http://mirror.example/debian
Suites: bookworm bookworm-updates
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg

Types: deb
URIs: http://mirror.example/debian-security
Suites: bookworm-security
Components: main

Types: deb
URIs: http://vendor.example/node
Suites: nodistro
Components: main
`
const LINES = `deb [arch=amd64] http://mirror.example/debian bookworm main contrib # ours
deb-src http://mirror.example/debian bookworm main
deb http://vendor.example/sdk cloud-sdk-bookworm main
deb http://vendor.example/engine bookworm stable
`

test('sources for a later suite keep host, key and the base release', () => {
  const sources = readSources('sources', STANZAS, 'bookworm')
  const files = sourcesFor(sources, { suite: 'trixie', codename: 'bookworm', withBase: true })
  assert.deepEqual(files.sources.split('\n'), [
    'Types: deb',
    'URIs: http://mirror.example/debian',
    'Suites: bookworm bookworm-updates trixie',
    'Components: main',
    'Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg',
    '',
    'Types: deb',
    'URIs: http://mirror.example/debian-security',
    'Suites: bookworm-security',
    'Components: main',
    '',
    '',
  ])
})

test('sources for a suite alone exclude the base release', () => {
  const sources = readSources('sources', STANZAS, 'bookworm')
  const files = sourcesFor(sources, { suite: 'forky', codename: 'bookworm', withBase: false })
  assert.match(files.sources, /^Suites: forky$/m)
  assert.doesNotMatch(files.sources, /bookworm|security/)
})

test("sources in lines lose other vendors' entries and keep their options", () => {
  const sources = readSources('list', LINES, 'bookworm')
  const files = sourcesFor(sources, { suite: 'sid', codename: 'bookworm', withBase: true })
  assert.equal(
    files.list,
    'deb [arch=amd64] http://mirror.example/debian bookworm main contrib\n' +
      'deb [arch=amd64] http://mirror.example/debian sid main contrib\n',
  )
})

const installed = (name: string, ...fields: string[]) =>
  [`Package: ${name}`, 'Status: install ok installed', ...fields].join('\n')
const STATUS = [
  installed('bash', 'Essential: yes', 'Pre-Depends: libc6 (>= 2.36), libtinfo6 (>= 6)'),
  installed('base-files', 'Essential: yes', 'Depends: gawk | awk, perl:any'),
  installed('mawk', 'Provides: awk'),
  installed('perl-base', 'Provides: perl'),
  installed('libc6', 'Depends: libgcc-s1'),
  installed('libgcc-s1', 'Depends: libc6'),
  installed('libtinfo6'),
  installed('lua-expat', 'Depends: libexpat1'),
  'Package: gawk\nStatus: deinstall ok config-files',
].join('\n\n')

test('the essential packages and their dependencies are those of every Debian', () => {
  const names = essentialPackages(`${STATUS}\n`).match(/(?<=^Package: ).*/gm)
  assert.deepEqual(names?.sort(), [
    ...['base-files', 'bash', 'libc6', 'libgcc-s1', 'libtinfo6', 'mawk', 'perl-base'],
  ])
})

test('a Prosody that ends early shows its last errors, or the end of its output', () => {
  const banner = '*'.repeat(26)
  const missing = `${banner}\nProsody was unable to find luaexpat\nSee the website\n${banner}\n`
  assert.equal(
    lastErrors(missing),
    'Its last lines:\n  Prosody was unable to find luaexpat\n  See the website',
  )
  assert.equal(
    lastErrors('general info Hello\nportmanager error Failed to open server port 1\n'),
    'Its last lines:\n  portmanager error Failed to open server port 1',
  )
  assert.equal(lastErrors(''), 'It printed nothing.')
})
