-- Test only: two counters that increase by exactly `test_rates_rate` per second. One increases by itself, like counters
-- of stanzas and logins. The other is set at stats-update, like metrics of the process. Both start with
-- `test_rates_initial`. When Prosody stops, the log has the final value of the first one.
module:set_global();
local now = require "util.time".now;
local statsman = require "core.statsmanager";
local timer = require "util.timer";

local rate = module:get_option_number("test_rates_rate", 1000);
local initial = module:get_option_number("test_rates_initial", 0);
-- The test scales all times down by this factor, so the pause of mod_adhoc_statistics between two collections is scaled
-- too.
local pause = 0.1 / module:get_option_number("test_rates_scale", 1);
local tick = 0.002;

local function declare(type_, name, help)
	return statsman.metric(type_, "test_rates_"..name, "", help, {}):with_labels();
end
local counted = declare("counter", "counted", "Increases by itself");
local set = declare("counter", "set", "Set at stats-update");
-- These two show to which time the values of the counters belong.
local started_at = declare("gauge", "started_at", "When both counters began, in seconds");
local counted_then = declare("gauge", "counted_then", "Value of test_rates_counted at the last stats-update");

local started = now();
local total, stopped = initial, false;
counted:set(initial);
started_at:set(started);

local function due()
	return initial + (now() - started) * rate;
end

local function count()
	local more = math.floor(due()) - total;
	if more > 0 then
		counted:add(more);
		total = total + more;
	end
end

timer.add_task(tick, function ()
	if stopped then return; end
	count();
	local index = statsman.get_metric_registry().adhoc_statistics;
	if index and index.collected and now() - index.collected >= pause then
		index.collected = nil;
	end
	return tick;
end);

module:hook_global("stats-update", function ()
	set:set(due());
	counted_then:set(total);
end);

module:hook_global("server-stopped", function ()
	stopped = true;
	module:log("info", "counted %d in all", total);
end);
