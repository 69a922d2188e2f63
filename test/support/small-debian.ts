/** Creates a small Debian for a test. The test can install packages in it without effect on the machine. */

import { cp, mkdir, writeFile } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { packDebian } from '../../tools/package.js'
import { findSmallDebian } from './setup/programs.js'
import { run, temporaryDirectory } from './setup/process.js'
import { inRoot } from './setup/root-directory.js'

export type SmallDebian = {
  /** The path of the Debian's root directory on the host. */
  readonly root: string
  /** Runs a program in the Debian and returns its output. Throws an error if the program fails. */
  run(...command: string[]): Promise<string>
  /** Runs a program in the Debian. The result has the exit code if the program fails. */
  attempt(...command: string[]): Promise<{ code: number | NodeJS.Signals; output: string }>
}

const PATH = '/usr/sbin:/usr/bin:/sbin:/bin'

export async function withSmallDebian(t: {
  after(end: () => Promise<void>): void
}): Promise<SmallDebian> {
  const directory = await temporaryDirectory('prosody-exporter-debian')
  t.after(() => directory.remove())
  const root = join(directory.path, 'root')
  const { code, output } = await run('cp', ['-a', await findSmallDebian(), root])
  if (code !== 0) throw new Error(output)
  for (const name of ['var/log', 'run']) await mkdir(join(root, name), { recursive: true })
  // The setting makes dpkg faster: it does not sync files to disk, which this temporary system does not need.
  await writeFile(join(root, 'etc/dpkg/dpkg.cfg.d/test'), 'force-unsafe-io\n')
  const attempt: SmallDebian['attempt'] = async (...command) => {
    const [program = '', ...args] = inRoot(root, command)
    return await run(program, args, { env: { PATH, LC_ALL: 'C' } })
  }
  const debian: SmallDebian = {
    root,
    attempt,
    async run(...command) {
      const { code, output } = await attempt(...command)
      if (code !== 0) throw new Error(`${command.join(' ')}: ${output}`)
      return output
    },
  }
  // The first program that runs in the root directory creates the mount points, for example for the checkout.
  await debian.run('true')
  return debian
}

/** Builds the exporter's Debian package and copies it into the root directory. Returns its path in the Debian. */
export async function putPackage({ root }: SmallDebian): Promise<string> {
  const directory = await temporaryDirectory('prosody-exporter-deb')
  const file = await packDebian(directory.path)
  await cp(file, join(root, basename(file)))
  await directory.remove()
  return `/${basename(file)}`
}
