-- Prosody includes this file in the container of compose.yml. It runs Prosody with PROSODY_VIRTUAL_HOSTS, which is
-- one domain here.

-- The default is loopback, which other containers cannot reach.
component_interfaces = { "*" }

Component ("stats." .. ENV_PROSODY_VIRTUAL_HOSTS)
    component_secret = FileLine("/run/secrets/xmpp.secret")
    component_conflict_resolve = "kick_old"
    modules_enabled = { "adhoc_statistics" }
