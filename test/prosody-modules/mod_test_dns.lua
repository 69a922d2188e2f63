-- Test only: this Prosody asks no DNS server. Names that begin with "none." do not exist; any other
-- is on a port of loopback that refuses connections.
module:set_global();
local adns = require "net.adns";
local refused = { { srv = { target = "127.0.0.1"; port = 1; priority = 0; weight = 0; } } };

local resolver = {};
function resolver:lookup(handler, qname, qtype) -- luacheck: ignore 212/self
	handler(qtype == "SRV" and not qname:find(".none.", 1, true) and refused or nil);
end

function adns.resolver()
	return resolver;
end
