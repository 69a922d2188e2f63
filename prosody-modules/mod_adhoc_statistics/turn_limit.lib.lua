-- Limits the time that requests may use in one turn of Prosody's main loop. Prosody reads each connection once in a
-- turn, and has one thread: while it answers one connection, all others wait. One turn may bring hundreds of requests.

local time = require "util.time";
local timer = module:require "timer";
-- COMPAT new in Prosody 0.12
local now = time.monotonic or time.now;

local m_abs, os_clock = math.abs, os.clock;

-- Seconds of Prosody's time that all readers together may use in one turn. A page takes 0.002.
local max_used = 0.005;
-- Seconds of CPU time after which a new turn begins in any case. Otherwise a turn ends when timers run, and
-- net.server_epoll runs no timers as long as any connection is readable.
local max_turn_time = 0.1;
-- Seconds. If the component's next request comes later than this after the last answer, the component waited for
-- that answer, and did not send both requests together.
local min_gap = 0.0005;

-- Shared by all instances of the module in this process. The table is freed with the last instance.
local turn = module:shared("/*/adhoc_statistics/turn");
turn.used = turn.used or 0;

local function begin()
	turn.used, turn.began = 0, os_clock();
end

local function on_timer()
	local was_used = turn.used > 0;
	begin();
	if was_used then return 0; end
	turn.is_timed = false;
end

-- Whether a request may be answered in this turn. A component that waits for each answer is always admitted.
-- Requests over the limit are refused, because they cannot wait for the next turn: the exporter considers a request
-- lost when a later request is answered first, and other readers would not know why they wait.
--
-- answered_at: time of the last answer to the component; nil for any other reader.
local function admit(answered_at)
	if not turn.is_timed then
		turn.is_timed = true;
		begin();
		timer.add_task(0, on_timer);
	elseif os_clock() - turn.began >= max_turn_time then
		begin();
	end
	return turn.used < max_used or answered_at ~= nil and m_abs(now() - answered_at) >= min_gap;
end

local function charge(seconds)
	turn.used = turn.used + seconds;
end

return { admit = admit; charge = charge; now = now };
