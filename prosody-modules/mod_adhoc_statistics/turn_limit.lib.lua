-- Limits the time that requests for statistics may use in one turn of Prosody's main loop. Prosody reads each connection
-- once in a turn, and has one thread: while it answers requests of one connection, all others wait. A reader may send
-- hundreds of requests that arrive in one turn.

local time = require "util.time";
local timer = module:require "timer";
-- COMPAT util.time.monotonic() is new in Prosody 0.12.
local now = time.monotonic or time.now;

local m_abs, os_clock = math.abs, os.clock;

-- All readers together may use this number of seconds in one turn of the main loop. A page of statistics takes 0.002 s.
local max_used = 0.005;
-- This library detects the end of a turn with a timer. A timer takes as much of Prosody's time as a short page, so it is
-- started only when the requests since the last known end of a turn have used this number of seconds.
local timed_from = max_used / 2;
-- net.server_epoll runs no timers as long as any connection is readable. So after this number of seconds of CPU time the
-- library assumes that a new turn has begun.
local max_turn_time = 0.1;
-- If the component's next request arrives more than this number of seconds after the last answer, the component waited
-- for that answer, and did not send both requests together.
local min_gap = 0.0005;

-- All instances of mod_adhoc_statistics in a Prosody process share this table. Prosody frees it with the last instance.
local turn = module:shared("/*/adhoc_statistics/turn");
turn.used = turn.used or 0;

local function on_timer()
	turn.used, turn.is_timed = 0, false;
end

-- Whether a request may be answered in the current turn of the main loop. The result is always true for a component
-- that waits for each answer before it sends the next request. The caller must refuse a request over the limit, and not
-- delay it: prosody-exporter considers a request lost if a later request is answered first.
--
-- `answered_at` is the time of the last answer to the component. It is nil if the request comes from another reader.
local function admit(answered_at)
	if turn.is_timed and os_clock() - turn.began >= max_turn_time then
		turn.used, turn.began = 0, os_clock();
	end
	return turn.used < max_used or answered_at ~= nil and m_abs(now() - answered_at) >= min_gap;
end

local function charge(seconds)
	turn.used = turn.used + seconds;
	if turn.used >= timed_from and not turn.is_timed then
		turn.is_timed, turn.began = true, os_clock();
		timer.add_task(0, on_timer);
	end
end

return { admit = admit; charge = charge; now = now };
