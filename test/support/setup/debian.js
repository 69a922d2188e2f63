/**
 * Downloads Debian packages with apt, whose state is in a private directory, and unpacks them below `.cache/`.
 *
 * Nothing is installed, so no root is needed and no maintainer script runs. The machine gets no service, no user and
 * no public port. An installed Prosody is not touched.
 */

import { createHash } from 'node:crypto'
import { existsSync } from 'node:fs'
import { mkdir, mkdtemp, readdir, readFile, rename, rm, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import process from 'node:process'
import { root, run, SetupError, until } from './process.js'

export const cache = join(root, '.cache')

/**
 * Packages to unpack, and the suite that has them.
 *
 * @typedef {object} Unpackable
 * @property {readonly string[]} packages
 * @property {string} suite
 * @property {'none' | 'libraries' | 'all'} dependencies `libraries`: all dependencies except the essential
 *   packages, which every Debian has. Other packages that are installed on the machine have no influence.
 *   `all`: all dependencies, including the C library, for a root directory in which the program runs.
 */

/**
 * One entry of apt's sources: a line of a `.list` file, or a stanza of a `.sources` file in deb822 form.
 *
 * @typedef {object} Source
 * @property {'list' | 'sources'} form
 * @property {readonly string[]} suites
 * @property {(suites: readonly string[]) => string} write Returns the text of the entry with other suites.
 */

/**
 * Selects the entries of Debian's own archive from the apt sources of the machine. Such entries are recognized by
 * suite and component (`bookworm main`), and not by host name, because a mirror can have any name.
 *
 * @param {'list' | 'sources'} form
 * @param {string} text
 * @param {string} codename The release of the machine, for example `bookworm`.
 * @returns {Source[]}
 */
export function readSources(form, text, codename) {
  const entries = form === 'list' ? readLines(text) : readStanzas(text)
  return entries.flatMap(({ components, suites, write }) => {
    const debian = suites.filter((suite) => isDebian(suite, codename))
    return components.includes('main') && debian.length > 0 ? [{ form, suites: debian, write }] : []
  })
}

/**
 * @param {string} suite
 * @param {string} codename
 */
function isDebian(suite, codename) {
  const [base, ...pocket] = suite.split(/[-/]/)
  const known = [codename, 'stable', 'testing', 'unstable', 'sid']
  const pockets = ['', 'updates', 'security', 'backports', 'proposed-updates']
  return known.includes(base ?? '') && pockets.includes(pocket.join('-'))
}

/** @param {string} text */
function readLines(text) {
  return text.split('\n').flatMap((line) => {
    const match = /^\s*deb\s+(\[[^\]]*\]\s+)?(\S+)\s+(\S+)\s+([^#]+)/.exec(line)
    if (!match) return []
    const [, options = '', uri = '', suite = '', components = ''] = match
    return {
      suites: [suite],
      components: components.trim().split(/\s+/),
      write: (/** @type {readonly string[]} */ suites) =>
        suites.map((name) => `deb ${options}${uri} ${name} ${components.trim()}\n`).join(''),
    }
  })
}

/** @param {string} text */
function readStanzas(text) {
  return text.split(/\n\s*\n/).flatMap((stanza) => {
    const lines = stanza.split('\n').filter((line) => !line.startsWith('#') && line.trim() !== '')
    const field = (/** @type {string} */ name) =>
      lines
        .find((line) => line.toLowerCase().startsWith(`${name}:`))
        ?.slice(name.length + 1)
        .trim()
        .split(/\s+/) ?? []
    if (!field('types').includes('deb') || field('enabled').includes('no')) return []
    return {
      suites: field('suites'),
      components: field('components'),
      write: (/** @type {readonly string[]} */ suites) =>
        lines
          .map((line) => (/^suites:/i.test(line) ? `Suites: ${suites.join(' ')}` : line))
          .map((line) => (/^types:/i.test(line) ? 'Types: deb' : line))
          .join('\n') + '\n\n',
    }
  })
}

/**
 * Returns apt sources for `suite`. With `withBase`, they also include the suites of the machine's own release.
 *
 * @param {readonly Source[]} sources
 * @param {{ suite: string, codename: string, withBase: boolean }} wanted
 * @returns {{ list: string, sources: string }} The text of a `.list` and of a `.sources` file.
 */
export function sourcesFor(sources, { suite, codename, withBase }) {
  const files = { list: '', sources: '' }
  for (const source of sources) {
    const isMain = source.suites.some((name) => !/[-/]/.test(name))
    const suites = new Set(withBase ? source.suites : [])
    if (isMain) suites.add(suite)
    // The entries for the security archive have suites with other names, such as `bookworm-security`, but belong to
    // the same release.
    if (!withBase && suite === codename) source.suites.forEach((name) => suites.add(name))
    if (suites.size > 0) files[source.form] += source.write([...suites])
  }
  return files
}

/** @returns {Promise<string>} The codename of the machine's release, for example `bookworm`. */
export async function baseSuite() {
  const text = await readFile('/etc/os-release', 'utf8').catch(() => '')
  const codename = /^VERSION_CODENAME="?([a-z]+)"?$/m.exec(text)?.[1]
  return codename ?? 'sid'
}

async function machineSources() {
  const codename = await baseSuite()
  const parts = await readdir('/etc/apt/sources.list.d').catch(() => [])
  const files = ['/etc/apt/sources.list', ...parts.map((name) => `/etc/apt/sources.list.d/${name}`)]
  const found = await Promise.all(
    files.map(async (file) => {
      const form = file.endsWith('.sources') ? 'sources' : 'list'
      if (!/\.(list|sources)$/.test(file)) return []
      return readSources(form, await readFile(file, 'utf8').catch(() => ''), codename)
    }),
  )
  return found.flat()
}

/**
 * Returns the directory with the unpacked packages. Downloads the packages if they are not in `.cache` yet.
 *
 * @param {string} name
 * @param {Unpackable} wanted
 * @param {(line: string) => void} [say] Called before a download.
 * @returns {Promise<string>}
 * @throws {SetupError} If apt, the network or a package is missing.
 */
export async function unpack(name, wanted, say = () => undefined) {
  const { packages, suite, dependencies } = wanted
  const isRoot = dependencies === 'all'
  // The directory name contains this hash. It changes if a new version of this code, or another release of the
  // machine, unpacks other files.
  const hash = hashOf([packages, dependencies, isRoot ? '' : await baseSuite()])
  const target = join(cache, `${name}-${suite}-${hash}`)
  if (existsSync(target)) return target
  const advice = `Install ${packages.join(' and ')} yourself`
  if (!existsSync('/usr/bin/apt-get') || !existsSync('/usr/bin/dpkg')) {
    throw new SetupError(`This machine has no apt-get. ${advice}.`)
  }
  const unlock = await lock()
  try {
    if (existsSync(target)) return target
    say(`Downloading ${packages.join(', ')} (Debian ${suite}) to .cache, without installing …`)
    const debs = await download(wanted, advice)
    const partial = `${target}.partial`
    await rm(partial, { recursive: true, force: true })
    await mkdir(partial, { recursive: true })
    if (isRoot) await makeRoot(partial)
    for (const deb of debs) {
      const { code, output } = await run('dpkg', ['-x', deb, partial])
      if (code !== 0) throw new SetupError(`Cannot unpack ${deb}: ${lastLine(output)}`)
    }
    if (isRoot) await recordInstalled(partial, debs)
    await rename(partial, target)
    await Promise.all(debs.map((deb) => rm(deb)))
    return target
  } finally {
    await unlock()
  }
}

/**
 * Returns a short hash for the name of a directory in `.cache`.
 *
 * @param {unknown} content Everything on which the content of the directory depends.
 */
export function hashOf(content) {
  return createHash('sha256').update(JSON.stringify(content)).digest('hex').slice(0, 8)
}

/**
 * Creates the links that Debian's package base-files would create, and minimal configuration files. Since trixie, other
 * packages have no files outside of `/usr`, so links such as `/lib` are needed. In older releases, directories of
 * packages replace these links. Host names are resolved with `/etc/hosts` only, not with DNS.
 *
 * @param {string} root
 */
async function makeRoot(root) {
  await mkdir(join(root, 'etc'))
  await writeFile(join(root, 'etc/nsswitch.conf'), 'hosts: files\n')
  await writeFile(join(root, 'etc/hosts'), '127.0.0.1 localhost far.example\n')
  await writeFile(join(root, 'etc/passwd'), 'root:x:0:0::/root:/bin/sh\n')
  await writeFile(join(root, 'etc/group'), 'root:x:0:\n')
  for (const name of ['bin', 'sbin', 'lib', 'lib64']) {
    await mkdir(join(root, 'usr', name), { recursive: true })
    await symlink(join('usr', name), join(root, name))
  }
}

/**
 * Writes the database of dpkg with the unpacked packages, so that tests can install further packages into the root
 * directory.
 *
 * @param {string} root
 * @param {readonly string[]} debs
 */
async function recordInstalled(root, debs) {
  const controls = await Promise.all(debs.map((deb) => run('dpkg-deb', ['--field', deb])))
  const entries = controls.map(({ stdout }) => `${stdout.trim()}\nStatus: install ok installed\n`)
  for (const name of ['info', 'updates', 'triggers']) {
    await mkdir(join(root, 'var/lib/dpkg', name), { recursive: true })
  }
  await writeFile(join(root, 'var/lib/dpkg/status'), entries.join('\n'))
}

/**
 * Returns the download settings of the machine's apt, for example proxies, as lines of apt.conf. Hooks are excluded,
 * because they would change the machine.
 *
 * @returns {Promise<string[]>}
 */
export async function acquireSettings() {
  const { stdout } = await run('apt-config', ['dump'])
  const line = /^Acquire::(?!IndexTargets|Changelogs|cdrom)[\w-]+(::.*)? ".*";$/
  return stdout.split('\n').filter((each) => line.test(each))
}

/**
 * Returns the directory with the package lists and sources of apt for the given packages.
 *
 * @param {Unpackable} wanted
 */
export function aptState({ suite, dependencies }) {
  return join(cache, 'apt', dependencies === 'libraries' ? suite : `${suite}-alone`)
}

/**
 * @param {Unpackable} wanted
 * @param {string} advice
 * @returns {Promise<string[]>} The paths of the .deb files.
 */
export async function download({ packages, suite, dependencies }, advice) {
  const withBase = dependencies === 'libraries'
  const state = aptState({ packages, suite, dependencies })
  const parts = join(state, 'sources')
  const archives = join(state, 'cache/archives')
  await rm(archives, { recursive: true, force: true })
  for (const path of [parts, join(state, 'lists/partial'), join(archives, 'partial')]) {
    await mkdir(path, { recursive: true })
  }
  const codename = await baseSuite()
  const isOwnRelease = withBase && suite === codename
  const files = sourcesFor(await machineSources(), { suite, codename, withBase })
  await writeFile(join(parts, 'debian.list'), files.list)
  await writeFile(join(parts, 'debian.sources'), files.sources)

  const conf = join(state, 'apt.conf')
  // apt considers the packages in this status file installed, so it does not download them.
  const status = join(state, 'status')
  const installed = await readFile('/var/lib/dpkg/status', 'utf8')
  await writeFile(status, dependencies === 'all' ? '' : essentialPackages(installed))
  const lines = [
    ...(await acquireSettings()),
    `Dir::State::status "${status}";`,
    'Acquire::Languages "none";',
    'Acquire::Retries "3";',
    'APT::Update::Error-Mode "any";',
    'APT::Sandbox::User "root";',
    'Debug::NoLocking "1";',
    `Dir::State::lists "${join(state, 'lists')}";`,
    `Dir::Cache "${join(state, 'cache')}";`,
    'Dir::Etc::sourcelist "/dev/null";',
    `Dir::Etc::sourceparts "${parts}";`,
    'Dir::Etc::main "/dev/null";',
    'Dir::Etc::parts "/dev/null";',
    'Dir::Etc::preferences "/dev/null";',
    'Dir::Etc::preferencesparts "/dev/null";',
  ]
  await writeFile(conf, lines.join('\n') + '\n', { mode: 0o600 })
  const env = { ...process.env, APT_CONFIG: conf, LC_ALL: 'C', DEBIAN_FRONTEND: 'noninteractive' }
  const apt = async (/** @type {string[]} */ ...args) => {
    const { code, output } = await run('apt-get', ['-q', ...args], { env, cwd: archives })
    if (code === 0) return
    const reason = output.split('\n').find((line) => /^E:/.test(line)) ?? lastLine(output)
    throw new SetupError(`Cannot download from Debian ${suite} (${reason}). ${advice}.`)
  }
  await apt('update')
  await (dependencies !== 'none'
    ? apt(
        ...['install', '--download-only', '--no-install-recommends', '--yes'],
        // From the machine's own release, apt takes packages with security updates, as on an operator's machine. For
        // any other release, it takes packages from that suite only.
        ...(isOwnRelease ? [] : ['--target-release', suite]),
        // A pattern (apt-patterns(7)) begins with `?` and cannot be combined with a suite.
        ...packages.map((name) =>
          name.startsWith('?') || isOwnRelease ? name : `${name}/${suite}`,
        ),
      )
    : apt('download', ...packages))
  const debs = await readdir(archives)
  return debs.filter((file) => file.endsWith('.deb')).map((file) => join(archives, file))
}

/**
 * Selects the entries of the packages that every Debian of a release has: the essential packages and their
 * dependencies.
 *
 * @param {string} status The text of `/var/lib/dpkg/status`.
 * @returns {string}
 */
export function essentialPackages(status) {
  const entries = status.split(/\n\n+/).flatMap((text) => {
    const field = (/** @type {string} */ name) =>
      new RegExp(`^${name}: (.*)$`, 'm').exec(text)?.[1] ?? ''
    // If a package was removed without its configuration, dpkg keeps an entry that is not "installed".
    if (!/ installed$/.test(field('Status'))) return []
    const names = [field('Package'), ...packageNames(field('Provides')).flat()]
    const needs = packageNames(`${field('Pre-Depends')}, ${field('Depends')}`)
    return [{ text, names, needs, isEssential: field('Essential') === 'yes' }]
  })
  const found = new Set(entries.filter(({ isEssential }) => isEssential))
  // A loop over a Set also visits elements that are added during the loop, so it ends when all dependencies are
  // found.
  for (const { needs } of found) {
    for (const alternatives of needs) {
      const has = (/** @type {string} */ name) =>
        entries.filter(({ names }) => names.includes(name))
      alternatives
        .map(has)
        .find((entries) => entries.length > 0)
        ?.forEach((entry) => found.add(entry))
    }
  }
  return [...found].map(({ text }) => `${text}\n\n`).join('')
}

/**
 * @param {string} relations Dependencies of a package, for example `libc6 (>= 2.36), perl:any | perl-base`.
 * @returns {string[][]} The names of each alternative, without versions and architectures.
 */
function packageNames(relations) {
  return relations.split(',').flatMap((relation) => {
    const names = relation.split('|').map((one) => /[^\s:(]+/.exec(one)?.[0] ?? '')
    return names[0] === '' ? [] : [names]
  })
}

/** @param {string} text */
function lastLine(text) {
  return text.trimEnd().split('\n').at(-1) ?? ''
}

/**
 * Takes the lock for `.cache`: waits until no other process downloads or unpacks packages, because only one process
 * may use the package lists of apt at a time.
 */
export async function lock() {
  const path = join(cache, 'lock')
  await mkdir(cache, { recursive: true })
  // Each call creates its own directory, because tests of one process can download concurrently.
  const own = await mkdtemp(`${path}.`)
  await writeFile(join(own, 'pid'), String(process.pid))
  await until(
    async () => {
      try {
        // The rename is atomic, so a lock always contains the pid of its owner. The rename fails if another process
        // holds the lock.
        await rename(own, path)
        return true
      } catch (error) {
        const { code, message } = /** @type {NodeJS.ErrnoException} */ (error)
        if (code !== 'EEXIST' && code !== 'ENOTEMPTY') {
          throw new SetupError(`Cannot write to ${cache}: ${message}`)
        }
        const owner = await readOwner(path)
        if (owner !== 0 && !existsSync(`/proc/${owner}`))
          await breakLock(path, owner, `${own}.broken`)
        return false
      }
    },
    {
      what: `the end of another process that downloads packages. If no such process runs, remove ${path}.`,
      timeoutMs: 900_000,
      everyMs: 200,
    },
  )
  return async () => {
    // `rm` empties a directory before it removes it, and a rename can replace an empty directory. So without this
    // rename, another process could take the lock in between, and `rm` would fail.
    await rename(path, own)
    await rm(own, { recursive: true, force: true })
  }
}

/** @param {string} path */
async function readOwner(path) {
  return Number(await readFile(join(path, 'pid'), 'utf8').catch(() => 0))
}

/**
 * @param {string} path
 * @param {number} owner The process that no longer exists.
 * @param {string} aside The path to which the lock is moved.
 */
async function breakLock(path, owner, aside) {
  await rename(path, aside).catch(() => undefined)
  // If another process has broken the lock earlier, the lock may have a new owner. Then this process puts the lock
  // back.
  if ((await readOwner(aside)) === owner) await rm(aside, { recursive: true, force: true })
  else await rename(aside, path).catch(() => undefined)
}
