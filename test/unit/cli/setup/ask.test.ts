import assert from 'node:assert/strict'
import { PassThrough } from 'node:stream'
import { test } from 'node:test'
import { ask } from '../../../../src/cli/setup/ask.js'

test('a question returns the answer without spaces around it', async () => {
  const [input, output] = [new PassThrough(), new PassThrough()]
  const answer = ask({ input, output }, 'Really? ')
  input.write(' yes \n')
  assert.equal(await answer, 'yes')
  assert.match(String(output.read()), /Really\? /)
})

test('a question fails when its terminal is closed', async () => {
  const [input, output] = [new PassThrough(), new PassThrough()]
  const answer = ask({ input, output }, 'Really? ')
  input.end()
  await assert.rejects(answer, /Setup was interrupted\. Run it again to finish, or with --undo/)
})
