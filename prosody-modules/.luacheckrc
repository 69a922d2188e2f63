-- The module must run with every version of Lua from 5.1 on.
std = "min"
-- Prosody sets these two globals. The module assigns module.unload.
read_globals = { "prosody" }
globals = { "module" }
max_line_length = 150
