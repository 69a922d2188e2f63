-- A complete configuration for Prosody 0.12 and 13.0 that prosody-exporter can read from.
--
-- To try it: `npm start`. To use it: copy into your own prosody.cfg.lua the parts marked [1] to [3];
-- the rest is there so that this file starts by itself.

-- Where Prosody looks for modules that are not its own. [1]
-- mod_adhoc_statistics is in this repository's prosody-modules/: copy that directory's
-- mod_adhoc_statistics/ there, keeping its name. Keep the paths that you have already.
plugin_paths = { "/usr/local/lib/prosody/modules" }

-- Reachable from this machine only. Yours is meant to be reached: leave this line out.
interfaces = { "127.0.0.1" }

modules_enabled = {
	"roster"; -- contact lists
	"saslauth"; -- logins
	"tls"; -- encryption, once there are certificates
	"dialback"; -- checks the servers that connect
	"disco"; -- what the server offers
	"ping"; "time"; "uptime"; "version"; -- answers for people and their clients
}

authentication = "internal_hashed"

-- Statistics [2]

-- Prosody keeps no statistics until it is told to.
statistics = "internal"

-- "manual": what has to be looked up (connections, memory, …) is looked up when the exporter asks,
-- so each scrape sees figures of its own moment. With a number of seconds here they are up to that
-- old, and rates computed from them are off.
statistics_interval = "manual"

-- Prosody does one thing at a time, so nobody is served while Lua collects its garbage. By default
-- that takes 40 to 120 ms at a stretch on a server with 100,000 series, whoever reads them. In this
-- mode, and with little at a time, it is mostly less than 20 ms.
gc = {
	mode = "generational";
	minor_threshold = 5;
	major_threshold = 100;
}

VirtualHost "example.com"

Component "rooms.example.com" "muc"
	name = "Chat rooms"

-- The exporter's door [3]
--
-- The exporter connects under this name and asks this very host. It needs no port but that of
-- components (5347, which Prosody opens on loopback), no HTTP, and no entry in `admins`: nobody but
-- the owner of the secret gets an answer. The name needs no DNS entry.
Component "stats.example.com"
	-- Choose your own, e.g. with `openssl rand -hex 32`, and give the same to the exporter:
	-- a file for --xmpp.secret-file that only it can read.
	component_secret = "this-is-only-an-example"

	-- When the exporter's connection broke off unseen, Prosody thinks for some time that it is still
	-- there and would refuse the new one as a conflict. The new one is the real one.
	component_conflict_resolve = "kick_old"

	modules_enabled = { "adhoc_statistics" }

	-- What readings may take of Prosody's one thread in the long run. 10,000 series a second take 0.01.
	-- adhoc_statistics_max_share = 0.25
