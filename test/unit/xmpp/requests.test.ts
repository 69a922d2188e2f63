import assert from 'node:assert/strict'
import { test } from 'node:test'
import { LinkError } from '../../../src/errors.js'
import { createRequests } from '../../../src/xmpp/requests.js'
import { xml, type Element } from '../../../src/xmpp/xml.js'

test('a new probe replaces the previous probe that has no reply', () => {
  const requests = createRequests()
  const probes = Array.from({ length: 100 }, () => requests.addProbe('stats.example'))
  assert.equal(probes.filter((id) => requests.get(id)).length, 1)
  assert.ok(requests.get(probes[99]!))
})

test('the reply to a probe makes earlier requests to the same address fail; a lost stream does not', () => {
  const requests = createRequests()
  const told: [string, Element | Error][] = []
  const ask = (name: string, to: string) =>
    requests.add(to, (outcome) => told.push([name, outcome]))
  ask('before', 'stats.example')
  ask('another', 'example')
  requests.addProbe('stats.example')
  const id = requests.addProbe('stats.example')
  ask('after', 'stats.example')
  requests.get(id)?.settle(xml('iq'))
  assert.deepEqual(
    told.map(([name]) => name),
    ['before'],
  )
  requests.addProbe('stats.example')
  requests.settleAll(new LinkError('lost'))
  assert.deepEqual(
    told.map(([name, outcome]) => `${name}: ${(outcome as Error).message}`),
    ['before: the reply to this request was lost', 'another: lost', 'after: lost'],
  )
})
