-- Limits the time that a function uses.

local time = require "util.time";
-- COMPAT util.time.monotonic() is new in Prosody 0.12.
local now = time.monotonic or time.now;

-- The function may use this share of Prosody's time.
local max_share = 0.001;
-- A call that takes less than this number of seconds has no pause after it. The counters call the function when Prosody
-- collects its statistics, at most ten times per second.
local free_time = 0.0001;

-- Returns a function that calls f, or returns without a call, so that the calls of f use at most one thousandth of
-- Prosody's time. Between two calls is a pause of at least `min_pause` seconds, by default 0.
local function throttle(f, min_pause)
	local due = 0;
	return function ()
		local started = now();
		-- The clock of Prosody before 0.12 can be set back. Then the pause ends immediately.
		if started < due and due - started < 3600 then return; end
		f();
		-- This is not CPU time, because os.clock() is a system call, and the clocks of util.time are not.
		due = started + math.max(min_pause or 0, (now() - started - free_time) / max_share);
	end
end

return { throttle = throttle };
