-- Measures the start time of Prosody and the lag of its main loop.

local time = require "util.time";
local timer = module:require "timer";
-- COMPAT util.time.monotonic() is new in Prosody 0.12.
local now = time.monotonic or time.now;

-- Sets the start time for all hosts except external components, which are other processes with their own start times.
local function count_start_time(scope)
	local family = scope.metric("gauge", "xmpp_start_time_seconds", "",
		"Start time of the server, in seconds since 1970.", { "host" });
	local unset = {};
	scope.each_host(function (host, host_session)
		unset[host] = not host_session.modules.component or nil;
	end);
	scope.on_update(function ()
		if not prosody.start_time then return; end
		for host in pairs(unset) do
			family:with_labels(host):set(prosody.start_time);
			unset[host] = nil;
		end
	end);
end

local lag_interval = 1;

local function count_loop_lag(scope)
	local lag = scope.metric("histogram", "xmpp_loop_lag", "seconds",
		"Time for which Prosody's single thread was blocked, measured once per second.", {},
		{ buckets = { 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10 } }):with_labels();
	local due;
	local task = timer.add_task(lag_interval, function ()
		local started = now();
		-- `due` is nil until Prosody has started: timers that are late because of the start are not counted.
		if due then lag:sample(math.max(0, started - due)); end
		due = prosody.start_time and started + lag_interval;
		return lag_interval;
	end);
	scope.on_stop(function () timer.stop(task); end);
end

return { start_time = count_start_time; loop_lag = count_loop_lag };
