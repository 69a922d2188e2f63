-- Provides add_task() of util.timer, and a stop() that works on every version of Prosody.

local timer = require "util.timer";

if timer.stop then
	return { add_task = timer.add_task; stop = timer.stop };
end

-- COMPAT Prosody 0.10 can't stop a timer task. So a stopped task still runs once, but does not call its callback and is
-- not repeated.
local function add_task(delay, callback)
	local task = {};
	timer.add_task(delay, function (now)
		if not task.is_stopped then return callback(now); end
	end);
	return task;
end

local function stop(task)
	task.is_stopped = true;
end

return { add_task = add_task; stop = stop };
