import assert from 'node:assert/strict'
import { test } from 'node:test'
import { findAddressFamilies } from '../../../src/outside/machine-addresses.js'

const LOOPBACK = ['127.0.0.1', '::1']
const BOTH = ['ipv4', 'ipv6']
const find = (addresses: readonly string[], allowPrivate = false) =>
  findAddressFamilies({ allowPrivate }, addresses)

test('the families are those of the addresses with which the machine reaches the Internet', () => {
  assert.deepEqual(find([...LOOPBACK, '192.168.1.5', 'fe80::1']), ['ipv4'])
  assert.deepEqual(find([...LOOPBACK, '169.254.1.1', '2a00:1234::1']), ['ipv6'])
  assert.deepEqual(find([...LOOPBACK, '192.168.1.5', 'fd00::1']), ['ipv4'])
  assert.deepEqual(find([...LOOPBACK, '192.168.1.5', '2a00:1234::1']), BOTH)
})

test('a machine without such an address checks both families', () => {
  assert.deepEqual(find(LOOPBACK), BOTH)
})

test('in a private network, each address counts, except for link-local ones', () => {
  assert.deepEqual(find(['192.168.1.5', 'fe80::1'], true), ['ipv4'])
  assert.deepEqual(find(['192.168.1.5', 'fd00::1'], true), BOTH)
  assert.deepEqual(find(LOOPBACK, true), BOTH)
})
