-- Prosody includes this file in the Pod of sidecar.yaml. Replace stats.example.com in both files.

statistics = "internal"
statistics_interval = "manual"

Component "stats.example.com"
    component_secret = FileLine("/run/secrets/prosody-exporter/xmpp.secret")
    component_conflict_resolve = "kick_old"
    modules_enabled = { "adhoc_statistics" }
