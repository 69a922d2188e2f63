-- Finds the sessions of clients and of other servers.

local hosts = prosody.hosts;

-- Calls f for each existing session, including those of mod_bosh and mod_websocket.
local function each_session(f)
	local seen = {};
	local function visit(session)
		if type(session) == "table" and session.filters and not seen[session] then
			seen[session] = true;
			f(session);
		end
	end
	for _, name in ipairs { "c2s", "bosh", "s2s" } do
		for _, session in pairs(module:shared("/*/"..name.."/sessions")) do visit(session); end
	end
	for _, session in pairs(prosody.full_sessions) do visit(session); end
	for session in pairs(prosody.incoming_s2s) do visit(session); end
	for _, host_session in pairs(hosts) do
		for _, session in pairs(host_session.s2sout) do visit(session); end
	end
end

return { each_session = each_session };
