-- A Prosody module for tests: answers all DNS queries of Prosody itself, so that Prosody uses no DNS server. A domain
-- that begins with "none." does not exist. `prosody.test_dns_ports` maps domains to s2s ports on loopback. Any other
-- domain has the s2s port 1 on loopback, which refuses connections.
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
		-- COMPAT Prosody 0.11 also sends a DNS query if the name of the SRV target is an IP address.
		answer = { { a = qname; } };
	end
	handler(answer);
end

-- COMPAT Prosody 0.11 calls these three methods of the resolver's internal field `_resolver`.
local nothing = function () end
resolver._resolver = { settimeout = nothing; addnameserver = nothing; closeall = nothing; };

function adns.resolver()
	return resolver;
end
