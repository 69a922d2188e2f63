/** A private Debian for a test, in which packages are installed without effect on the machine. */

import { cp, mkdir, writeFile } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { packDebian } from '../../tools/package.js'
import { findSmallDebian } from './setup/programs.js'
import { run, temporaryDirectory } from './setup/process.js'
import { inRoot } from './setup/root-directory.js'

export type SmallDebian = {
  /** The path of its root directory on the host. */
  readonly root: string
  /** Runs a program in it and returns the output; throws when it fails. */
  run(...command: string[]): Promise<string>
  /** Runs a program in it; it may fail. */
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
  // dpkg need not sync its files: this system is temporary.
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
  // The first program creates the mount points, for example for the checkout.
  await debian.run('true')
  return debian
}

/** Builds the Debian package and puts it into the root; returns its path there. */
export async function putPackage({ root }: SmallDebian): Promise<string> {
  const directory = await temporaryDirectory('prosody-exporter-deb')
  const file = await packDebian(directory.path)
  await cp(file, join(root, basename(file)))
  await directory.remove()
  return `/${basename(file)}`
}
