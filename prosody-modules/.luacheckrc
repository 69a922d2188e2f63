-- Prosody gives modules these; Lua 5.1 is the least that they run with.
std = "min"
read_globals = { "module", "prosody" }
max_line_length = 150
