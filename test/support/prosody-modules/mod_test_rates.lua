-- A Prosody module for tests: registers two counters that start at `test_rates_initial` and increase by exactly
-- `test_rates_rate` per second. test_rates_counted increases all the time, like a counter of stanzas. test_rates_set is
-- set when Prosody collects its statistics, like a counter of CPU time. When Prosody stops, the module logs the final
-- value of test_rates_counted.
module:set_global();
local now = require "util.time".now;
local statsman = require "core.statsmanager";
local timer = require "util.timer";

local rate = module:get_option_number("test_rates_rate", 1000);
local initial = module:get_option_number("test_rates_initial", 0);
-- The pause between two collections of mod_adhoc_statistics, in seconds. Tests of rates divide all times by
-- `test_rates_scale`, so this pause is divided too.
local pause = 0.1 / module:get_option_number("test_rates_scale", 1);
local tick = 0.002;

local function declare(type_, name, help)
	return statsman.metric(type_, "test_rates_"..name, "", help, {}):with_labels();
end
local counted = declare("counter", "counted", "Increases by itself");
local set = declare("counter", "set", "Set at stats-update");
-- From these two gauges, a test calculates the time to which the values of the counters belong.
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
