-- A Prosody module for tests: registers the metrics of Jitsi Meet's modules, whose sources the repository can't contain.
-- It calls the same functions of Prosody with the same names and types as these modules, so Prosody forms the names of the
-- metrics in the same way.
local measure = require "core.statsmanager".measure;

-- Returns an object with the methods of `module`, and with the name of another module.
local function as_module(name)
	return setmetatable({ name = name }, { __index = module });
end

local counters = {
	auth_token = { "success", "verify_fail", "pre_fetch_fail", "post_auth_fail", "ban" };
	token_verification = { "success", "fail" };
	filter_iq_rayo = { "drop" };
};
local gauges = {
	fmuc = { "vnode-rooms", "vnode-participants", "vnode-visitors" };
	rate_limit = { "limited-ips" };
	muc_census = { "leaked_rooms" };
};
for stat_type, stats in pairs { counter = counters; amount = gauges } do
	for name, stat_names in pairs(stats) do
		for _, stat_name in ipairs(stat_names) do
			as_module(name):measure(stat_name, stat_type)(1);
		end
	end
end
for _, stat_name in ipairs { "rooms_with_queue", "full_queue", "errors_processing_queue" } do
	measure("rate", "/mod_muc_rate_limit/"..stat_name)();
end
as_module("measure_stanza_counts"):metric("counter", "sent", "", "Stanzas sent by prosody",
	{ "session_type", "stanza_kind" }):with_labels("c2s", "message"):add(1);
