import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { TimeoutError } from '../../../src/errors.js'
import { createRoom } from '../../../src/messaging/room.js'
import { createClock } from '../../support/clock.js'
import {
  createFakeLog,
  createFakeStream,
  errorFor,
  occupantPresence,
  roomInfo,
  settle,
  stanzaError,
} from '../../support/messaging.js'

const ROOM = 'ops@rooms.example'
const OCCUPANT = `${ROOM}/alerts`

function setup() {
  const clock = createClock()
  const stream = createFakeStream()
  const log = createFakeLog()
  const room = createRoom({
    jid: ROOM,
    nick: 'alerts',
    client: stream.client,
    log: log.log,
    label: () => 'room 1 of alerts.rooms',
    now: clock.now,
    schedule: clock.schedule,
  })
  /** Lets the room answer that it exists. Returns the presence with which the exporter then joins. */
  const find = async () => {
    stream.request(ROOM).answer(roomInfo())
    await settle()
    const [presence, ...others] = stream.take()
    assert.deepEqual(others, [])
    return presence!
  }
  const enter = async (codes = ['110']) => {
    const presence = await find()
    room.handlePresence(occupantPresence(OCCUPANT, codes))
    return presence
  }
  /** Advances the time until the next attempt to join. Returns the pause. */
  const untilRetry = () => {
    const ms = clock.nextMs()
    clock.advance(ms)
    assert.equal(room.getState().phase, 'joining')
    return ms
  }
  const problem = () => {
    const state = room.getState()
    return state.phase === 'outside' ? state.problem : undefined
  }
  return { clock, stream, log, room, find, enter, untilRetry, problem }
}

type Setup = ReturnType<typeof setup>

test('the exporter joins an existing room without history, and is in it after its own presence', async () => {
  const { room, stream, log, find } = setup()
  room.join()
  const presence = await find()
  assert.equal(
    presence.toString(),
    `<presence from="alerts@stats.example/exporter" to="${OCCUPANT}" id="join-1">` +
      '<x xmlns="http://jabber.org/protocol/muc"><history maxstanzas="0"/></x></presence>',
  )
  room.handlePresence(occupantPresence(`${ROOM}/someone`, []))
  assert.equal(room.getState().phase, 'joining')
  room.handlePresence(occupantPresence(OCCUPANT, ['100', '110']))
  assert.deepEqual(room.getState(), { phase: 'joined', occupant: OCCUPANT })
  assert.deepEqual(log.take(), ['info: The exporter joined room 1 of alerts.rooms.'])
  assert.deepEqual(stream.take(), [])
})

test('a nickname that the room has changed is part of the address in the room (status 210)', async () => {
  const { room, find } = setup()
  room.join()
  await find()
  room.handlePresence(occupantPresence(`${ROOM}/alerts2`, ['110', '210']))
  assert.deepEqual(room.getState(), { phase: 'joined', occupant: `${ROOM}/alerts2` })
})

describe('an answer to the question whether the room exists', () => {
  const cases = [
    ['item-not-found', 'cancel', 'item-not-found', /does not exist.*Create the room/],
    ['gone', 'cancel', 'gone', /was destroyed/],
    ['service-unavailable', 'cancel', 'not-a-room', /is not a room\. Correct alerts\.rooms/],
    // Only with the type `cancel` it means that the address is a user.
    ['service-unavailable', 'wait', 'service-unavailable', /./],
    ['remote-server-not-found', 'cancel', 'remote-server-not-found', /DNS/],
    ['internal-server-error', 'wait', 'internal-server-error', /answered internal-server-error/],
  ] as const
  for (const [condition, type, expected, reason] of cases) {
    test(`${condition} (${type}) prevents that the exporter joins`, async () => {
      const { room, stream, problem } = setup()
      room.join()
      stream.request(ROOM).fail(stanzaError(condition, type))
      await settle()
      assert.equal(problem()?.condition, expected)
      assert.match(problem()!.reason, reason)
      assert.deepEqual(stream.take(), [])
    })
  }

  test('the exporter joins if the server refuses the answer', async () => {
    for (const condition of ['forbidden', 'not-allowed', 'feature-not-implemented']) {
      const { room, stream } = setup()
      room.join()
      stream.request(ROOM).fail(stanzaError(condition, 'auth'))
      await settle()
      assert.equal(stream.take().length, 1, condition)
    }
  })

  test('the exporter sends no presence to an address that is not a room', async () => {
    const { room, stream, problem } = setup()
    room.join()
    stream.request(ROOM).answer(roomInfo('account'))
    await settle()
    assert.equal(problem()?.condition, 'not-a-room')
    assert.equal(problem()?.isPermanent, true)
    assert.deepEqual(stream.take(), [])
  })

  test('if there is none in time, the exporter tries again', async () => {
    const { room, stream, problem, log } = setup()
    room.join()
    stream.request(ROOM).fail(new TimeoutError('no reply'))
    await settle()
    assert.equal(problem()?.condition, 'no-answer')
    assert.equal(problem()?.isPermanent, false)
    assert.match(
      log.take()[0]!,
      /^warn: The exporter is not in room 1 of alerts\.rooms: the server/,
    )
  })
})

describe('an error when the exporter joins is logged once with the remedy', () => {
  const cases = [
    ['conflict', 'cancel', true, /nickname is taken.*alerts\.nick/],
    ['not-authorized', 'auth', true, /has a password.*alerts@stats\.example/],
    ['registration-required', 'auth', true, /members-only\. Make alerts@stats\.example a member/],
    ['forbidden', 'auth', true, /banned.*alerts@stats\.example/],
    ['item-not-found', 'cancel', true, /has not yet saved its configuration/],
    ['service-unavailable', 'wait', false, /is full/],
    ['not-acceptable', 'modify', true, /registered nickname/],
    ['jid-malformed', 'modify', true, /nickname/],
    ['not-allowed', 'cancel', true, /Create the room/],
    ['resource-constraint', 'wait', false, /answered resource-constraint/],
  ] as const
  for (const [condition, type, isPermanent, reason] of cases) {
    test(condition, async () => {
      const { room, find, untilRetry, problem, log } = setup()
      room.join()
      room.handlePresence(errorFor(await find(), condition, type))
      assert.equal(problem()?.isPermanent, isPermanent)
      assert.match(problem()!.reason, reason)
      untilRetry()
      room.handlePresence(errorFor(await find(), condition, type))
      const lines = log.take()
      assert.equal(lines.length, 1, lines.join('\n'))
      assert.match(lines[0]!, isPermanent ? /^error: / : /^warn: /)
      assert.match(lines[0]!, reason)
      assert.doesNotMatch(lines[0]!, /ops@/)
    })
  }

  test('an error for an earlier attempt is ignored, and one without an id is not', async () => {
    const { room, find, untilRetry, problem } = setup()
    room.join()
    const first = await find()
    room.handlePresence(errorFor(first, 'conflict'))
    untilRetry()
    await find()
    room.handlePresence(errorFor(first, 'forbidden'))
    assert.equal(room.getState().phase, 'joining')
    const error = errorFor(first, 'forbidden')
    delete error.attrs['id']
    room.handlePresence(error)
    assert.equal(problem()?.condition, 'forbidden')
  })
})

test('a room that joining has created is left immediately, and the operator has to create it', async () => {
  const { room, enter, stream, problem, log } = setup()
  room.join()
  await enter(['110', '201'])
  const [leave] = stream.take()
  assert.equal(leave?.attrs['type'], 'unavailable')
  assert.equal(leave.attrs['to'], OCCUPANT)
  assert.equal(problem()?.isPermanent, true)
  assert.match(log.take()[0]!, /^error: .* does not exist\. Create the room/)
  // The room confirms that the exporter has left it.
  room.handlePresence(occupantPresence(OCCUPANT, ['110'], { type: 'unavailable' }))
  assert.match(problem()!.reason, /does not exist/)
})

describe('when the room removes the exporter', () => {
  const cases = [
    ['a kick (307)', ['110', '307'], false, /moderator has removed/],
    ['a ban (301)', ['110', '301'], true, /banned.*ban list/],
    [
      'a change of the affiliation (321)',
      ['110', '321'],
      true,
      /Make alerts@stats\.example a member/,
    ],
    ['members-only (322)', ['110', '322'], true, /became members-only/],
    ['a shutdown (332)', ['110', '332'], false, /shutting down/],
    ['an error (333)', ['110', '333'], false, /will join again/],
    ['no status', [], false, /will join again/],
  ] as const
  for (const [what, codes, isPermanent, reason] of cases) {
    test(`because of ${what}, it joins again after a pause`, async () => {
      const { room, enter, untilRetry, problem, log } = setup()
      room.join()
      await enter()
      log.take()
      room.handlePresence(occupantPresence(OCCUPANT, codes, { type: 'unavailable' }))
      assert.equal(problem()?.isPermanent, isPermanent)
      assert.match(log.take().join('\n'), reason)
      assert.equal(untilRetry(), 5000)
    })
  }

  test('because the room was destroyed, it says so', async () => {
    const { room, enter, problem } = setup()
    room.join()
    await enter()
    const options = { type: 'unavailable', isDestroyed: true }
    room.handlePresence(occupantPresence(OCCUPANT, ['110'], options))
    assert.equal(problem()?.condition, 'destroyed')
    assert.equal(problem()?.isPermanent, true)
  })

  test('another occupant who leaves, and a change of the nickname, do not count', async () => {
    const { room, enter } = setup()
    room.join()
    await enter()
    const gone = { type: 'unavailable' }
    room.handlePresence(occupantPresence(`${ROOM}/someone`, ['307'], gone))
    assert.equal(room.getState().phase, 'joined')
    room.handlePresence(occupantPresence(OCCUPANT, ['110', '303'], gone))
    room.handlePresence(occupantPresence(`${ROOM}/renamed`, ['110']))
    assert.deepEqual(room.getState(), { phase: 'joined', occupant: `${ROOM}/renamed` })
  })

  test('presence about an earlier visit is ignored while the exporter joins', async () => {
    const { room, enter, find } = setup()
    room.join()
    await enter()
    room.lose()
    room.join()
    room.handlePresence(occupantPresence(OCCUPANT, ['110', '333'], { type: 'unavailable' }))
    assert.equal(room.getState().phase, 'joining')
    await find()
  })
})

/** Kicks the exporter as soon as it is in the room. Returns the pause before the next attempt. */
async function kick({ room, enter, untilRetry }: Setup): Promise<number> {
  await enter()
  room.handlePresence(occupantPresence(OCCUPANT, ['110', '307'], { type: 'unavailable' }))
  return untilRetry()
}

test('a room that kicks again and again is tried with growing pauses and one log line', async () => {
  const all = setup()
  all.room.join()
  const pauses: number[] = []
  for (let i = 0; i < 10; i++) pauses.push((await kick(all)) / 1000)
  assert.deepEqual(pauses, [5, 10, 20, 40, 80, 160, 320, 600, 600, 600])
  const lines = all.log.take().filter((line) => !line.startsWith('info'))
  assert.equal(lines.length, 1, lines.join('\n'))
})

test('after a minute in the room, the problem is over and the next pause is short', async () => {
  const all = setup()
  all.room.join()
  for (let i = 0; i < 4; i++) await kick(all)
  await all.enter()
  all.log.take()
  all.clock.advance(60_000)
  assert.deepEqual(all.log.take(), ['info: The exporter is in room 1 of alerts.rooms again.'])
  all.room.handlePresence(occupantPresence(OCCUPANT, ['110', '307'], { type: 'unavailable' }))
  assert.equal(all.untilRetry(), 5000)
})

test('an attempt that the server does not answer ends after 30 seconds', async () => {
  const { room, find, clock, problem } = setup()
  room.join()
  await find()
  clock.advance(29_999)
  assert.equal(room.getState().phase, 'joining')
  clock.advance(1)
  assert.equal(problem()?.condition, 'no-answer')
})

test('after a silent attempt to join, the exporter leaves the room, because it may be in it', async () => {
  const { room, find, stream, clock } = setup()
  room.join()
  await find()
  clock.advance(30_000)
  stream.disconnect()
  assert.equal(room.leave(), false)
  stream.connect()
  assert.equal(room.leave(), true)
  assert.equal(stream.take()[0]?.attrs['type'], 'unavailable')
})

test('an early attempt to join is possible 30 seconds after the last one', async () => {
  const { room, find, clock, untilRetry } = setup()
  room.join()
  for (let i = 0; i < 5; i++) {
    room.handlePresence(errorFor(await find(), 'conflict'))
    if (i < 4) untilRetry()
  }
  assert.equal(clock.nextMs(), 80_000)
  clock.advance(29_999)
  room.joinEarly()
  assert.equal(room.getState().phase, 'outside')
  clock.advance(1)
  room.joinEarly()
  assert.equal(room.getState().phase, 'joining')
})

test('a lost stream is no problem of the room, and the next login joins it again', async () => {
  const { room, stream, enter, find, log, clock } = setup()
  room.join()
  await enter()
  log.take()
  room.lose()
  assert.equal(room.getState().phase, 'offline')
  assert.equal(clock.pending(), 0)
  room.join()
  stream.disconnect()
  await settle()
  assert.equal(room.getState().phase, 'offline')
  room.lose()
  stream.connect()
  room.join()
  await find()
  room.handlePresence(occupantPresence(OCCUPANT, ['110']))
  assert.equal(room.getState().phase, 'joined')
  assert.deepEqual(log.take(), [])
})

test('an answer for an attempt before the stream was lost has no effect', async () => {
  const { room, stream } = setup()
  room.join()
  const request = stream.request(ROOM)
  room.lose()
  request.answer(roomInfo())
  await settle()
  assert.deepEqual(stream.take(), [])
  assert.equal(room.getState().phase, 'offline')
})

test('the exporter leaves a room politely and for good', async () => {
  const { room, stream, enter, clock } = setup()
  room.join()
  await enter()
  room.leave()
  room.leave()
  const leaves = stream.take()
  assert.equal(leaves.length, 1)
  assert.equal(leaves[0]!.attrs['type'], 'unavailable')
  room.join()
  room.handlePresence(occupantPresence(OCCUPANT, ['110']))
  assert.equal(room.getState().phase, 'offline')
  assert.equal(clock.pending(), 0)
})

test('without a stream, a room cannot be left until the next login', async () => {
  const { room, stream, enter } = setup()
  room.join()
  await enter()
  stream.disconnect()
  room.lose()
  assert.equal(room.leave(), false)
  assert.equal(room.getState().phase, 'offline')
  stream.connect()
  assert.equal(room.leave(), true)
  assert.equal(stream.take()[0]?.attrs['type'], 'unavailable')
  assert.equal(room.leave(), true)
  assert.deepEqual(stream.take(), [])
})

test('without a stream, a room in which the exporter is not need not be left', async () => {
  const { room, stream } = setup()
  assert.equal(room.leave(), true)
  const kicked = setup()
  kicked.room.join()
  await kicked.enter()
  const presence = occupantPresence(OCCUPANT, ['110', '307'], { type: 'unavailable' })
  kicked.room.handlePresence(presence)
  kicked.stream.disconnect()
  assert.equal(kicked.room.leave(), true)
  assert.deepEqual([...stream.take(), ...kicked.stream.take()], [])
})

test('a watcher learns each change of the state until it stops', async () => {
  const { room, enter } = setup()
  const phases: string[] = []
  const stop = room.watch(() => {
    phases.push(room.getState().phase)
  })
  room.join()
  await enter()
  stop()
  room.lose()
  assert.deepEqual(phases, ['joining', 'joined'])
})
