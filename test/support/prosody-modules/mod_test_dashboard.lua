-- Test only: what the community's modules that dashboards are made for register, by the same calls of
-- Prosody's, since their source is not ours to keep: mod_measure_stanza_counts, mod_measure_process,
-- mod_measure_client_presence, and mod_auth_token of Jitsi. Nothing but stanzas is really counted.
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
	-- module:measure(name, "rate") of a module of that name.
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

-- A hook of the whole process, whatever the host: on several hosts a stanza is counted for each.
filters.add_filter_hook(function (session)
	filters.add_filter(session, "stanzas/in", function (stanza)
		if not stanza.attr.xmlns then count(session.type, stanza.name); end
		return stanza;
	end);
end);
