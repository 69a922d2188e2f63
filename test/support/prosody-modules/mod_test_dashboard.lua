-- A Prosody module for tests: registers the metrics of some community modules for which Grafana dashboards exist. These
-- are mod_measure_stanza_counts, mod_measure_process, mod_measure_client_presence, and mod_auth_token of Jitsi, whose
-- sources the repository can't contain. Only the counters of stanzas really count. The other metrics have fixed values.
local statsman = require "core.statsmanager";
local filters = require "util.filters";
local measure, metric = statsman.measure, statsman.metric;

for _, show in ipairs { "available", "away", "chat", "dnd", "xa" } do
	measure("amount", "client_presence."..show)(show == "available" and 1 or 0);
end

local count;
if metric then
	local function of_host(name, labels)
		local family = metric("counter", name, "", "", { "host", (table.unpack or unpack)(labels) }); -- luacheck: ignore 113 143
		return family:with_partial_label(module.host);
	end
	-- mod_auth_token and its token verification create these metrics with module:measure(name, "rate").
	for _, name in ipairs { "success", "verify_fail" } do
		measure("rate", "mod_auth_token/"..name, nil, "host", module.host);
	end
	measure("rate", "mod_token_verification/fail", nil, "host", module.host);
	metric("counter", "process_cpu", "seconds", "CPU"):with_labels():set(1);
	metric("gauge", "process_resident_memory", "bytes", "Memory"):with_labels():set(2 ^ 20);
	local received = of_host("prosody_mod_measure_stanza_counts/received", { "session_type", "stanza_kind" });
	function count(session_type, stanza_kind)
		received:with_labels(session_type, stanza_kind):add(1);
	end
else
	local rates = setmetatable({}, { __index = function (t, name)
		t[name] = measure("rate", name);
		return t[name];
	end });
	function count(session_type, stanza_kind)
		rates["stanza_counts.incoming_"..session_type.."_"..stanza_kind]();
	end
end

-- The filter hook applies to the sessions of all hosts. If this module is loaded on several hosts, each instance counts
-- every stanza.
filters.add_filter_hook(function (session)
	filters.add_filter(session, "stanzas/in", function (stanza)
		if not stanza.attr.xmlns then count(session.type, stanza.name); end
		return stanza;
	end);
end);
