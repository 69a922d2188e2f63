-- One request of a reader and its answer: what changed among some of the ids. README.md specifies both.

local st = require "util.stanza";

local os_clock = os.clock;
local m_huge, m_min, s_find, s_format, t_concat = math.huge, math.min, string.find, string.format, table.concat;

-- Seconds after which a page ends: Prosody has but one thread, and others wait. In so long 13,000 ids
-- are compared, or 2,500 written out; a page of fewer costs as much for its stanzas as for itself.
local page_time = 0.002;
-- Bytes of text after which a page ends. A reply of over 4 MiB is cut by Prosody 13.0 and the stream
-- is dead from then on.
local page_bytes = 48 * 1024;
-- Bytes of text an element holds: parsers are quickest with a few KB in one text node.
local element_size = 4096;
-- Bytes of change numbers that a request may give: a reader leaves the rest for the next one.
local max_since = 8 * 1024;

-- The whole number that an attribute holds, or nil for anything else.
local function whole(text, default)
	if text == nil then return default; end
	return #text <= 15 and text:match("^%d+$") and tonumber(text) or nil;
end

-- Where the reader was: `41:700 42:1900 43` is 41 up to id 700, 42 from there to 1900, 43 for the rest.
-- Returns { last id, change number, … }, or nil if the text is something else.
local function read_cursors(text)
	if #text > max_since then return nil; end
	local cursors, n = {}, 0;
	for item in text:gmatch("%S+") do
		local since, last = item:match("^(%d+):?(%d*)$");
		since, last = whole(since or ""), last == "" and m_huge or whole(last or "");
		if not since or not last then return nil; end
		cursors[n + 1], cursors[n + 2], n = last, since, n + 2;
	end
	return n > 0 and cursors or nil;
end

-- Whether a request begins a run.
local function is_start(attr)
	return whole(attr.first, 1) == 1;
end

-- What is asked for, or nil if that can't be told.
local function read_request(attr)
	local first, last, cursors = whole(attr.first, 1), whole(attr.last, m_huge), read_cursors(attr.since or "0");
	if not first or first < 1 or not last or not cursors then return nil; end
	return { epoch = attr.epoch; first = first; last = last; cursors = cursors };
end

-- The payload of the answer, and the texts of the elements that go into it.
local function write(index, request, xmlns)
	local started = os_clock();
	local payload, texts = st.stanza("statistics", { xmlns = xmlns }), {};
	local buffer, total = {}, 0;
	local function is_over()
		return os_clock() - started >= page_time;
	end
	local function flush(count)
		if count == 0 then return false; end
		local text = t_concat(buffer, "", 1, count);
		texts[#texts + 1] = text;
		total = total + #text;
		return total >= page_bytes or is_over();
	end
	local cursors = request.epoch == index.epoch and request.cursors or { m_huge, 0 };
	local last = index:read(request.first, m_min(request.last, index.size), cursors, buffer, element_size, flush, is_over);

	local attr = payload.attr;
	attr.epoch = index.epoch;
	attr.change = s_format("%d", index.change);
	attr.size = s_format("%d", index.size);
	attr.last = s_format("%d", last);
	if index.updated then
		attr.updated = s_format("%.3f", index.updated);
	end
	return payload, texts;
end

-- Puts the texts into the payload.
local function fill(payload, texts)
	for _, text in ipairs(texts) do
		-- Not text_tag, which looks at each byte once more: everything in a line is clean.
		local lines = st.stanza("lines");
		lines[1] = text;
		payload:add_direct_child(lines);
	end
end

-- A reply as text, whose last element is a payload that gets these texts. What tostring() makes of the
-- same, but in less time, a fifth of all that a full page takes: it tries five characters at each byte.
local function to_text(reply, texts)
	local head, tail = tostring(reply):match("^(.*)/>(.-)$");
	local parts = { head, ">" };
	for _, text in ipairs(texts) do
		if s_find(text, "&", 1, true) or s_find(text, "<", 1, true) or s_find(text, ">", 1, true) then
			text = st.xml_escape(text);
		end
		local n = #parts;
		parts[n + 1], parts[n + 2], parts[n + 3] = "<lines>", text, "</lines>";
	end
	parts[#parts + 1] = "</statistics>"..tail;
	return t_concat(parts);
end

return { fill = fill; is_start = is_start; read_request = read_request; to_text = to_text; write = write; };
