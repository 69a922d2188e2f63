/** Builds the npm package of the exporter, and the Debian package from the same files. */

import { chmod, cp, mkdir, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises'
import { dirname, join, relative } from 'node:path'
import process from 'node:process'
import { gzipSync } from 'node:zlib'
import { copyright, readJson } from './package-texts.js'
import { root, run, SetupError } from '../test/support/setup/process.js'

/**
 * @param {string} command
 * @param {readonly string[]} args
 * @param {{ cwd?: string, env?: NodeJS.ProcessEnv }} [options]
 */
async function must(command, args, options) {
  const { code, output, stdout } = await run(command, args, options)
  if (code !== 0) throw new SetupError(`${command} ${args[0] ?? ''} failed: ${output.trim()}`)
  return stdout
}

/**
 * Builds the tarball that `npm publish` uploads. The build runs in a copy of the repository, so it does not change
 * `dist/`.
 *
 * @param {string} dir The target directory.
 * @returns {Promise<string>} The path of the tarball.
 */
export async function packNpm(dir) {
  const source = join(dir, 'source')
  const { files } = await readJson(join(root, 'package.json'))
  const names = /** @type {string[]} */ (files).filter((name) => !/^!|^dist$/.test(name))
  for (const name of [...names, 'package.json', 'README.md', 'LICENSE']) {
    await cp(join(root, name), join(source, name), { recursive: true })
  }
  for (const name of ['src', 'tools']) {
    await cp(join(root, name), join(source, name), { recursive: true })
  }
  await symlink(join(root, 'node_modules'), join(source, 'node_modules'))
  await must('npm', ['run', '--silent', 'build'], { cwd: source })
  await must('npm', ['pack', '--ignore-scripts', '--pack-destination', dir], { cwd: source })
  const { name, version } = await readJson(join(source, 'package.json'))
  await rm(source, { recursive: true })
  return join(dir, `${String(name)}-${String(version)}.tgz`)
}

/**
 * Builds the Debian package. It has the files of the npm package, the production dependencies, and the files that
 * Debian requires for a service.
 *
 * @param {string} dir The target directory.
 * @returns {Promise<string>} The path of the Debian package.
 */
export async function packDebian(dir) {
  const stage = join(dir, 'stage')
  const home = join(stage, 'usr/lib/prosody-exporter')
  const tarball = await packNpm(dir)
  await mkdir(home, { recursive: true })
  await must('tar', ['-xzf', tarball, '--strip-components=1', '-C', home])
  await rm(tarball)
  const { version, author } = await readJson(join(home, 'package.json'))
  await rm(join(home, 'deploy'), { recursive: true })
  await copyDependencies(home)
  await useDebiansNode(join(home, 'dist/main.js'))

  const deploy = join(root, 'deploy')
  const doc = 'usr/share/doc/prosody-exporter'
  /** @param {string} from @param {string} to */
  const move = async (from, to) => {
    await mkdir(dirname(join(stage, to)), { recursive: true })
    await cp(from, join(stage, to), { recursive: true })
    if (from.startsWith(stage)) await rm(from, { recursive: true })
  }
  // Debian's Prosody loads its own modules from this directory, so operators need no plugin_paths.
  const module = 'mod_adhoc_statistics'
  await move(join(home, 'prosody-modules', module), `usr/lib/prosody/modules/${module}`)
  await rm(join(home, 'prosody-modules'), { recursive: true })
  for (const name of ['README.md', 'CHANGELOG.md', 'SECURITY.md', 'docs']) {
    await move(join(home, name), `${doc}/${name}`)
  }
  for (const name of ['prosody-example.cfg.lua', 'prosody-exporter.example.yml']) {
    await move(join(home, name), `${doc}/examples/${name}`)
  }
  // Files that programs read are not in /usr/share/doc, because Debian systems in containers often leave out that
  // directory.
  const share = 'usr/share/prosody-exporter'
  await move(join(home, 'config.schema.json'), `${share}/config.schema.json`)
  for (const name of ['prometheus/prosody-exporter.yml', 'prometheus/rules.yml', 'grafana']) {
    await move(join(deploy, name), join(share, name))
  }
  // The status page links to these files, and finds them where they are in the npm package. If /usr/share/doc is left
  // out, the page does not link to the documentation.
  await mkdir(join(home, 'deploy'))
  await symlink('../../share/doc/prosody-exporter/docs', join(home, 'docs'))
  await symlink('../../../share/prosody-exporter/grafana', join(home, 'deploy/grafana'))
  await symlink('../../../share/prosody-exporter/prometheus', join(home, 'deploy/prometheus'))
  for (const name of ['prosody-exporter.service', 'prosody-exporter.socket']) {
    await move(join(deploy, 'systemd', name), `usr/lib/systemd/system/${name}`)
  }
  const debian = join(deploy, 'debian')
  await move(join(debian, 'prosody-exporter.default'), 'etc/default/prosody-exporter')
  // `prosody-exporter setup` writes the configuration into this directory.
  await mkdir(join(stage, 'etc/prosody-exporter'))
  await mkdir(join(stage, 'usr/bin'))
  await symlink('../lib/prosody-exporter/dist/main.js', join(stage, 'usr/bin/prosody-exporter'))

  const date = await commitDate()
  const { DEBFULLNAME, DEBEMAIL } = process.env
  const maintainer =
    DEBFULLNAME !== undefined && DEBEMAIL !== undefined
      ? `${DEBFULLNAME} <${DEBEMAIL}>`
      : String(author)
  const day = date.toUTCString().replace('GMT', '+0000')
  const entry = `prosody-exporter (${String(version)}) unstable; urgency=medium\n\n  * See CHANGELOG.md.\n\n -- ${maintainer}  ${day}\n`
  await writeFile(join(stage, doc, 'changelog.gz'), gzipSync(entry, { level: 9 }))
  await writeFile(join(stage, doc, 'copyright'), await copyright(home))
  await rm(join(home, 'LICENSE'))
  await mkdir(join(stage, 'usr/share/man/man1'), { recursive: true })
  const undated = await readFile(join(deploy, 'man/prosody-exporter.1'), 'utf8')
  const manual = undated.replace(/^(\.TH \S+ 1) ""/m, `$1 "${date.toISOString().slice(0, 10)}"`)
  const manualFile = join(stage, 'usr/share/man/man1/prosody-exporter.1.gz')
  await writeFile(manualFile, gzipSync(manual, { level: 9 }))
  return await build(stage, { dir, version: String(version), maintainer, date })
}

/**
 * Copies the production dependencies into the package. `npm ci` installed them in the checkout.
 *
 * @param {string} home
 */
async function copyDependencies(home) {
  const modules = join(home, 'node_modules')
  const found = await must('npm', ['ls', '--omit=dev', '--all', '--parseable'], { cwd: root })
  for (const path of found.trim().split('\n').slice(1)) {
    await cp(path, join(home, relative(root, path)), {
      recursive: true,
      filter: (from) => !relative(path, from).split('/').includes('node_modules'),
    })
  }
  // Type declarations and source maps are removed, because they are half of the size of the dependencies.
  for (const name of await readdir(modules, { recursive: true })) {
    if (/\.[cm]?ts$|\.map$/.test(name)) await rm(join(modules, name))
  }
}

/**
 * Makes the exporter run with Debian's Node.js, on which the package depends. The first `node` in PATH may be another
 * installation.
 *
 * @param {string} main
 */
async function useDebiansNode(main) {
  const text = await readFile(main, 'utf8')
  await writeFile(main, text.replace(/^#!.*/, '#!/usr/bin/node'))
  await chmod(main, 0o755)
}

/**
 * Returns the date in SOURCE_DATE_EPOCH, or else of the last commit. No file in the package has a later date, so that
 * builds of the same commit give the same package.
 */
async function commitDate() {
  const given = process.env.SOURCE_DATE_EPOCH
  const { code, stdout } = await run('git', ['log', '-1', '--format=%ct'], { cwd: root })
  const seconds = Number(given ?? (code === 0 ? stdout : Number.NaN))
  return new Date(Number.isNaN(seconds) ? Date.now() : seconds * 1000)
}

/**
 * @param {string} stage
 * @param {{ dir: string, version: string, maintainer: string, date: Date }} options
 */
async function build(stage, { dir, version, maintainer, date }) {
  const debian = join(root, 'deploy/debian')
  const target = join(stage, 'DEBIAN')
  const sizes = await must('du', ['-sk', '--apparent-size', stage])
  await mkdir(target)
  const control = await readFile(join(debian, 'control'), 'utf8')
  const fields = `Version: ${version}\nMaintainer: ${maintainer}\nInstalled-Size: ${Number.parseInt(sizes, 10)}\n`
  await writeFile(join(target, 'control'), control.replace(/^(?=Architecture:)/m, fields))
  for (const name of ['conffiles', 'postinst', 'prerm', 'postrm']) {
    await cp(join(debian, name), join(target, name))
  }
  const sums = await must('sh', [
    '-c',
    'cd "$1" && find usr -type f | LC_ALL=C sort | xargs -d "\\n" md5sum',
    'sh',
    stage,
  ])
  await writeFile(join(target, 'md5sums'), sums)
  // The permissions of all files are set, because otherwise they depend on the umask and on the checkout.
  await must('chmod', ['-R', 'u=rwX,go=rX', stage])
  for (const name of ['postinst', 'prerm', 'postrm']) await chmod(join(target, name), 0o755)
  const file = join(dir, `prosody-exporter_${version}_all.deb`)
  const env = { ...process.env, SOURCE_DATE_EPOCH: String(Math.floor(date.getTime() / 1000)) }
  await must('dpkg-deb', ['--root-owner-group', '-Zxz', '--build', stage, file], { env })
  await rm(stage, { recursive: true })
  return file
}
