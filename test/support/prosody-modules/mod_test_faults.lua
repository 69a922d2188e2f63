-- A Prosody module for tests: registers series whose values tell a test which process of Prosody set them, and at which
-- collection. `epoch` identifies the process, and `step` counts the collections. Series number i changes at every k-th
-- collection to `epoch * 1000000 + step`, where k is i % 5 + 1.
module:set_global();
local metric = require "core.statsmanager".metric;
local now = require "util.time".now;

local count = module:get_option_number("test_faults_count", 3000);
local epoch, step = math.floor(now() * 100) % 1e7, 0;
-- Tests read this table through mod_test_eval.
prosody.test_faults = { epoch = epoch };

local families = {
	[0] = metric("gauge", "test_faults_a", "", "Changes", { "shard" });
	metric("counter", "test_faults_b", "", "Changes", { "shard" });
	metric("gauge", "test_faults_c", "", "Changes, and has a longer help text", { "shard" });
};
local metrics = {};
for i = 1, count do
	metrics[i] = families[i % 3]:with_labels(("%d"):format(i));
	metrics[i]:set(epoch * 1000000);
end

module:hook_global("stats-update", function ()
	step = step + 1;
	prosody.test_faults.step = step;
	for i = 1, count do
		if step % (i % 5 + 1) == 0 then
			metrics[i]:set(epoch * 1000000 + step);
		end
	end
end);
