-- Test only: this Prosody asks no DNS server. Names that begin with "none." do not exist; those in
-- `prosody.test_dns_ports` (domain = port) are on that port of loopback; any other is on one that
-- refuses connections.
module:set_global();
local adns = require "net.adns";

local resolver = {};
function resolver:lookup(handler, qname, qtype) -- luacheck: ignore 212/self
	local domain = qname:match("^_xmpp%-server%._tcp%.(.-)%.?$");
	local port = domain and prosody.test_dns_ports and prosody.test_dns_ports[domain] or 1;
	local answer = { { srv = { target = "127.0.0.1"; port = port; priority = 0; weight = 0; } } };
	handler(qtype == "SRV" and not qname:find(".none.", 1, true) and answer or nil);
end

function adns.resolver()
	return resolver;
end
