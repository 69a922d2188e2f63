import assert from 'node:assert/strict'
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { launch, root, signalGroup, temporaryDirectory, until } from '../support/setup/process.js'

/** Returns the parent process id of each running process, by process id. */
async function readParents(): Promise<Map<number, number>> {
  const ids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name))
  const entries = ids.map(async (id) => {
    const text = await readFile(`/proc/${id}/stat`, 'utf8').catch(() => '')
    // In /proc/PID/stat, the process name is in parentheses and can contain any character, even a parenthesis.
    const [state = 'Z', parent = '0'] = text.slice(text.lastIndexOf(')') + 2).split(' ')
    return [Number(id), state === 'Z' ? 0 : Number(parent)] as const
  })
  return new Map((await Promise.all(entries)).filter(([, parent]) => parent !== 0))
}

/** Returns the ids of a process and of all its descendants. */
function processTree(pid: number, parents: ReadonlyMap<number, number>): number[] {
  const children = [...parents].filter(([, parent]) => parent === pid).map(([child]) => child)
  return [pid, ...children.flatMap((child) => processTree(child, parents))]
}

const COMMAND = ['test', '--', 'test/support/hanging.ts']

for (const [what, interrupt] of [
  // For Ctrl-C, a terminal sends SIGINT to all processes of the process group in the foreground.
  ['Ctrl-C during npm test', (group: readonly number[]) => process.kill(-group[0]!, 'SIGINT')],
  [
    'SIGINT to the runner alone',
    async (group: readonly number[]) => {
      const commands = await Promise.all(
        group.map(async (pid) => ({ pid, line: await readFile(`/proc/${pid}/cmdline`, 'utf8') })),
      )
      const runners = commands.filter(({ line }) => line.startsWith('node\0tools/test.js\0'))
      assert.equal(runners.length, 1)
      process.kill(runners[0]!.pid, 'SIGINT')
    },
  ],
] as const) {
  test(`after ${what}, no process and no temporary directory of the tests remains`, async (t) => {
    const directory = await temporaryDirectory('pe')
    t.after(() => directory.remove())
    const child = launch('npm', COMMAND, {
      cwd: root,
      // The test runner of Node.js runs no tests inside another test runner, which it detects by NODE_TEST_CONTEXT.
      env: { ...process.env, TMPDIR: directory.path, NODE_TEST_CONTEXT: undefined },
      detached: true,
    })
    t.after(() => signalGroup(child.pid, 'SIGKILL'))
    await until(() => !child.running() || child.output().includes('everything is started'), {
      what: 'the programs of the test have started',
    })
    assert.ok(child.running(), child.output())
    const all = processTree(child.pid, await readParents())
    // The processes are npm, its shell, tools/test.js, the test runner of Node.js, the test, and its four programs.
    assert.ok(all.length >= 9, `only ${all.length} processes run`)
    assert.notDeepEqual(await readdir(join(directory.path)), [])

    await interrupt(all)
    assert.notEqual(await child.exited, 0)
    const remaining = await readParents()
    assert.deepEqual(
      all.filter((pid) => remaining.has(pid)),
      [],
    )
    // With Node.js 22 and later, npm stores its compile cache in the temporary directory.
    const files = await readdir(directory.path)
    assert.deepEqual(
      files.filter((name) => name !== 'node-compile-cache'),
      [],
    )
  })
}
