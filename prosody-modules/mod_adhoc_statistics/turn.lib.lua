-- What requests may take of one turn of Prosody's main loop, in which each connection is read once. Prosody has
-- but one thread: while it answers one, all the others wait, and there may be hundreds of requests in one turn.

local time = require "util.time";
local timer = module:require "timer";
-- COMPAT new in Prosody 0.12
local now = time.monotonic or time.now;

local m_abs, os_clock = math.abs, os.clock;

-- Seconds of Prosody's time that all readers together may take in one turn. A page takes 0.002.
local budget = 0.005;
-- A turn ends when timers have theirs. net.server_epoll has none for them as long as any connection can be
-- read, so after so many seconds of Prosody's time, whatever it did, another turn begins.
local longest = 0.1;
-- Seconds after which the component's next request can't have come together with the last one.
local least_gap = 0.0005;

-- Of the process. Held by the modules that use it, so it goes with the last of them.
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

-- Whether a request may be looked at. The component asks for one page after the other and is always served: it
-- takes a request for lost when something later is answered before it, so that none can wait for another turn.
-- Others would not know of a turn either, so they are told to try again.
--
-- answered_at: when the component was answered last; of other readers nothing.
local function admit(answered_at)
	if not turn.is_timed then
		turn.is_timed = true;
		begin();
		timer.add_task(0, on_timer);
	elseif os_clock() - turn.began >= longest then
		begin();
	end
	return turn.used < budget or answered_at ~= nil and m_abs(now() - answered_at) >= least_gap;
end

local function take(seconds)
	turn.used = turn.used + seconds;
end

return { admit = admit; now = now; take = take };
