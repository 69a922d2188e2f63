import assert from 'node:assert/strict'
import { test } from 'node:test'
import { reasonOf } from '../src/collectors/failure.js'
import { createRoom, type Room } from '../src/collectors/registry-room.js'

/** How often it can be done before there is no room. */
function times(limit: number, act: (room: Room) => void): number {
  const room = createRoom(limit)
  for (let count = 0; ; count++) {
    try {
      act(room)
    } catch (error) {
      assert.equal(reasonOf(error), 'too_many')
      return count
    }
  }
}

test('there is room for twice as many series as are served, with labels of a hundred characters', () => {
  assert.equal(
    times(1_000_000, (room) => {
      room.takeSeries(92, 1)
    }),
    2_000_000,
  )
  // And for a low limit, which is on what is served, as if it were higher.
  for (const limit of [0, 1, 100_000]) {
    assert.equal(
      times(limit, (room) => {
        room.takeSeries(92, 1)
      }),
      200_000,
    )
  }
})

test('text, values and families take room too', () => {
  assert.equal(
    times(100_000, (room) => {
      room.takeSeries(900, 0)
    }),
    40_000,
  )
  assert.equal(
    times(100_000, (room) => {
      room.takeSeries(100, 100)
    }),
    40_000,
  )
  assert.equal(
    times(100_000, (room) => {
      room.takeFamily(1000)
    }),
    20_000,
  )
})

test('what is announced must fit, beside what is there', () => {
  const room = createRoom(100_000)
  room.expect(400_000)
  assert.throws(() => {
    room.expect(400_001)
  }, /Prosody has 400001 series, more than there is room for with limits\.series 100000: /)
  for (let i = 0; i < 1000; i++) room.takeSeries(0, 0)
  room.expect(400_000)
  room.takeFamily(0)
  assert.throws(() => {
    room.expect(400_000)
  }, /400000 series/)
  room.expect(399_990)
})

test('without a limit there is room for anything', () => {
  const room = createRoom(Infinity)
  room.expect(Number.MAX_SAFE_INTEGER)
  room.takeSeries(1e12, 1e9)
  room.takeFamily(1e12)
})

test('what was read of it is said', () => {
  const room = createRoom(1)
  room.takeSeries(1, 1)
  assert.throws(() => {
    room.takeSeries(4e7, 1)
  }, /Prosody has 2 series with all their text, more than there is room for with limits\.series 1: /)
})
