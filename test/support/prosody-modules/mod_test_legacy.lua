-- A Prosody module for tests: registers statistics of every kind that Prosody 0.11 has, with ordinary and unusual names.
-- `prosody.test_legacy` has the functions that measure these statistics, and a function that makes Prosody collect them
-- immediately.
module:set_global();

local measure = require "core.statsmanager".measure;

local m = {};
m.amount = module:measure("amount", "amount");
m.counter = measure("counter", "test.counter");
m.rate = measure("rate", "/one.example/mod_test_legacy/rate");
m.other_rate = measure("rate", "/two.example/mod_test_legacy/rate");
m.stanza = measure("rate", "stanza_counts.incoming_c2s_message");
m.no_stanza = measure("rate", "stanza_counts.from_c2s_message");
m.times = measure("times", "/two.example/mod_test_legacy/times");
m.sizes = measure("sizes", "memory.lua");
m.distribution = measure("distribution", "/mod_test_legacy/queue");
m.odd = measure("amount", 'test.odd "\195\169\\ http://a/b');
-- same_amount and same_rate have the same metric name, and so have both and one_both.
m.same_amount = measure("amount", "test.same");
m.same_rate = measure("rate", "test.same");
m.both = module:measure("both", "amount");
m.one_both = measure("amount", "/one.example/mod_test_legacy/both");

-- Makes Prosody collect its statistics, by calling the handler that core.statsmanager has for the event server-started.
function m.collect()
	for _, handler in ipairs(prosody.events._handlers["server-started"]) do
		if debug.getinfo(handler, "S").source:match("core/statsmanager%.lua$") then
			return handler();
		end
	end
	error("core.statsmanager has no handler of server-started");
end

-- Returns the values of all statistics as text, with one line for each statistic of core.statsmanager.get_stats().
function m.dump()
	local stats, _, extras = require "core.statsmanager".get_stats();
	local lines = {};
	for stat, value in pairs(stats) do
		local extra = extras[stat] or {};
		local fields = { stat };
		for i, number in ipairs {
			value, extra.count or 0, extra.sample_count or 0, extra.average or 0, extra.min or 0, extra.max or 0
		} do
			fields[i + 1] = ("%.17g"):format(number);
		end
		fields[#fields + 1] = extra.units or "";
		lines[#lines + 1] = table.concat(fields, "\t");
	end
	return table.concat(lines, "\n");
end

prosody.test_legacy = m;
