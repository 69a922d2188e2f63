-- Test only: two counters that grow by `test_rates_rate` a second of the clock, exactly. One counts by
-- itself, as stanzas and logins are counted; the other is set at stats-update, as process figures are.
-- Both begin with `test_rates_initial`. When Prosody has stopped, the log says how far the first came.
module:set_global();
local now = require "util.time".now;
local statsman = require "core.statsmanager";
local timer = require "util.timer";

local rate = module:get_option_number("test_rates_rate", 1000);
local initial = module:get_option_number("test_rates_initial", 0);
-- With all times scaled down by this, mod_adhoc_statistics's pause between two collections is too.
local pause = 0.1 / module:get_option_number("test_rates_scale", 1);
local tick = 0.002;

local function declare(type_, name, help)
	return statsman.metric(type_, "test_rates_"..name, "", help, {}):with_labels();
end
local counted = declare("counter", "counted", "Counts by itself");
local set = declare("counter", "set", "Set at stats-update");
-- These two tell the reader of what moment the others are.
local started_at = declare("gauge", "started_at", "When both counters began, in seconds");
local counted_then = declare("gauge", "counted_then", "What was counted at the last stats-update");

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
