-- Test only: this Prosody asks no DNS server. Names that begin with "none." do not exist; those in
-- `prosody.test_dns_ports` (domain = port) are on that port of loopback; any other is on one that
-- refuses connections.
module:set_global();
local adns = require "net.adns";

local resolver = {};
function resolver:lookup(handler, qname, qtype) -- luacheck: ignore 212/self
	local domain = qname:match("^_xmpp%-server%._tcp%.(.-)%.?$");
	local port = domain and prosody.test_dns_ports and prosody.test_dns_ports[domain] or 1;
	local answer;
	if qtype == "SRV" and not qname:find(".none.", 1, true) then
		answer = { { srv = { target = "127.0.0.1"; port = port; priority = 0; weight = 0; } } };
	elseif qtype == "A" and qname == "127.0.0.1" then
		-- COMPAT Prosody 0.11 looks up addresses too
		answer = { { a = qname; } };
	end
	handler(answer);
end

-- COMPAT Prosody 0.11 reaches into it
local nothing = function () end
resolver._resolver = { settimeout = nothing; addnameserver = nothing; closeall = nothing; };

function adns.resolver()
	return resolver;
end
