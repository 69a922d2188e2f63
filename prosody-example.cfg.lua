-- A complete configuration for Prosody 0.12 and 13.0, with everything that prosody-exporter needs.
--
-- To try it, run `npm start`. To use it, copy the parts marked [1] to [3] into your own prosody.cfg.lua.
-- The other parts are only needed so that Prosody starts with this file alone.

-- Directories in which Prosody looks for additional modules. [1]
-- Copy the directory prosody-modules/mod_adhoc_statistics of this repository into one of them, under the
-- same name. If you have plugin_paths already, keep your paths and add this one.
plugin_paths = { "/usr/local/lib/prosody/modules" }

-- This server is reachable only from this machine. Don't copy this line: clients must reach your server.
interfaces = { "127.0.0.1" }

modules_enabled = {
	"roster"; -- contact lists
	"saslauth"; -- logins
	"tls"; -- encryption, if you have certificates
	"dialback"; -- checks the identity of other servers
	"disco"; -- lists the features of the server
	"ping"; "time"; "uptime"; "version"; -- information for users and their clients
}

authentication = "internal_hashed"

-- Statistics [2]

-- Switches statistics on.
statistics = "internal"

-- With "manual", Prosody collects when the exporter asks. So gauges (connections, memory, …) have their
-- current value at each scrape. With a number of seconds, they are up to that old, and rates computed
-- from them are inexact.
statistics_interval = "manual"

-- Prosody has one thread, so all clients wait while Lua collects its garbage. On a server with 100,000
-- series, that takes 40 to 120 ms without a break by default, with or without the exporter. With these
-- settings, a pause is mostly shorter than 20 ms.
gc = {
	mode = "generational";
	minor_threshold = 5;
	major_threshold = 100;
}

VirtualHost "example.com"

Component "rooms.example.com" "muc"
	name = "Chat rooms"

-- The component of the exporter [3]
--
-- The exporter connects as this component, and sends its requests to this host. It needs only the port
-- for components: 5347, which Prosody opens on loopback. It needs no HTTP port and no entry in `admins`.
-- Only a program that knows the secret can read statistics. The name needs no DNS entry.
Component "stats.example.com"
	-- Replace this with your own secret, for example from `openssl rand -hex 32`. Write the same secret into
	-- the file of --xmpp.secret-file, which only the exporter may read.
	component_secret = "this-is-only-an-example"

	-- If the exporter's connection is lost without a close, Prosody considers it open for some time. It would
	-- refuse the exporter's new connection as a conflict. With this line, the new connection replaces the old one.
	component_conflict_resolve = "kick_old"

	modules_enabled = { "adhoc_statistics" }

	-- Share of the time of Prosody's one thread that readers of statistics may use in the long run. Reading
	-- 10,000 series every second takes 0.01.
	-- adhoc_statistics_max_share = 0.25
