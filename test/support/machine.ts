/**
 * Starts a machine of a new user for a test: a clean Debian with systemd and its own network, without the repository.
 */

import { appendFile, cp, mkdir, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { findCleanDebian, USERS_DEBIAN } from './setup/clean-debian.js'
import { networkEnvironment, run, temporaryDirectory } from './setup/process.js'
import { inRoot } from './setup/root-directory.js'
import { bootSystemd } from './setup/systemd.js'

export type Machine = {
  /** The path of the machine's root directory on the host. */
  readonly root: string
  /** Writes a file on the machine. By default, every user of the machine can read the file. */
  write(path: string, text: string, mode?: number): Promise<void>
  append(path: string, text: string): Promise<void>
  /** Runs shell commands as root on the machine, and returns their output. Throws an error if a command fails. */
  shell(commands: string, input?: string): Promise<string>
  /** Runs shell commands as root on the machine. The result has the exit code if a command fails. */
  attempt(commands: string, input?: string): ReturnType<typeof run>
  /** Returns a command that runs a program of the host, but in the network of the machine. */
  outside(command: readonly string[]): Promise<string[]>
}

const ENV = ['PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin', 'HOME=/root', 'LC_ALL=C']

/**
 * @param prepare Steps that run while the machine still has a network: files to copy to `/root`, the npm to install,
 *   and a command that root runs in `/root` and that can use npm's registry.
 */
export async function withMachine(
  t: { after(end: () => Promise<void>): void },
  name: string,
  prepare: { files: readonly string[]; npm?: string; command?: string },
): Promise<Machine> {
  const directory = await temporaryDirectory('prosody-exporter-machine')
  const ends = [() => directory.remove()]
  t.after(async () => {
    for (const end of ends) await end()
  })
  const root = join(directory.path, 'root')
  await must(['cp', '-a', await findCleanDebian(USERS_DEBIAN), root])
  const write: Machine['write'] = async (path, text, mode = 0o644) => {
    await mkdir(join(root, dirname(path)), { recursive: true })
    await writeFile(join(root, path), text, { mode })
  }
  // These settings make apt ask no questions and install only required packages.
  const apt = 'APT::Get::Assume-Yes "true";\nAPT::Install-Recommends "false";\n'
  await write('etc/apt/apt.conf.d/test', apt)
  await write('etc/hostname', `${name}\n`)
  await write('etc/hosts', `127.0.0.1 localhost ${name}\n`)
  for (const file of prepare.files) await cp(file, join(root, 'root', file.split('/').at(-1)!))
  if (prepare.npm !== undefined) {
    const prefix = join(root, 'usr/local')
    await must(['npm', 'install', '--silent', '--global', `--prefix=${prefix}`, prepare.npm])
  }
  if (prepare.command !== undefined) {
    await cp('/etc/resolv.conf', join(root, 'etc/resolv.conf'), { dereference: true })
    const seen = ['/dev', '/proc', '/etc/ssl/certs']
    const environment = Object.entries(networkEnvironment())
    const all = [...ENV, ...environment.map(([key, value]) => `${key}=${value ?? ''}`)]
    const command = ['env', '-i', ...all, 'sh', '-ec', `cd /root\n${prepare.command}`]
    await must(inRoot(root, command, seen))
  }
  const { inside, outside, stop } = await bootSystemd(root, { network: 'own' })
  ends.unshift(stop)
  const attempt: Machine['attempt'] = (commands, input) =>
    inside(['env', '-i', ...ENV, 'sh', '-ec', `cd /root\n${commands}`], input)
  return {
    root,
    write,
    append: (path, text) => appendFile(join(root, path), text),
    attempt,
    async shell(commands, input) {
      const { code, output } = await attempt(commands, input)
      if (code !== 0) throw new Error(`${commands}\n${output}`)
      return output
    },
    outside,
  }
}

async function must([program = '', ...args]: readonly string[]): Promise<void> {
  const { code, output } = await run(program, args)
  if (code !== 0) throw new Error(`${program} ${args.join(' ')}\n${output}`)
}
