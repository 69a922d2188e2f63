-- A Prosody module for tests: registers `test_series_count` counters in `test_series_families` metric families with three
-- labels each. At every collection, a part of the counters increases: `test_series_moving`, by default 0.1, which means
-- one counter in ten.
module:set_global();
local count = module:get_option_number("test_series_count", 1000);
local family_count = module:get_option_number("test_series_families", 10);
local moving = module:get_option_number("test_series_moving", 0.1);
local metric = require "core.statsmanager".metric;

local metrics = {};
for f = 1, family_count do
	local family = metric("counter", "test_series_"..f, "", "Synthetic series number "..f, { "host", "kind", "shard" });
	for i = 1, count / family_count do
		metrics[#metrics + 1] = family:with_labels("host"..(i % 10)..".example.com", "kind-"..(i % 7), "shard-"..i);
	end
end

local step = math.max(1, math.floor(1 / moving));
local turn = 0;

local function move()
	turn = turn + 1;
	for i = 1 + turn % step, #metrics, step do
		metrics[i]:add(i % 10 == 0 and 0.5 or 1);
	end
end

if moving > 0 then
	module:hook_global("stats-update", move);
end
