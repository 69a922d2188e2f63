-- Test only: registers the metrics of some community modules for which dashboards exist, with the same calls of
-- Prosody. The repository can't contain the source of those modules: mod_measure_stanza_counts, mod_measure_process,
-- mod_measure_client_presence, and mod_auth_token of Jitsi. Only stanzas are really counted; other values are fixed.
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
	-- These modules call module:measure(name, "rate").
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

-- The hook applies to all hosts of the process, so an instance on each of several hosts counts every stanza.
filters.add_filter_hook(function (session)
	filters.add_filter(session, "stanzas/in", function (stanza)
		if not stanza.attr.xmlns then count(session.type, stanza.name); end
		return stanza;
	end);
end);
