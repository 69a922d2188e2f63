-- Prosody gives modules these; Lua 5.1 is the least that they run with.
std = "min"
read_globals = { "prosody" }
-- Where they put what they do when they are unloaded.
globals = { "module" }
max_line_length = 150
