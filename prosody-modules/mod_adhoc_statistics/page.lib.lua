-- Parses a reader's request, and builds the answer: a page with the changes in a range of ids. README.md specifies both.

local st = require "util.stanza";

local os_clock = os.clock;
local m_huge, m_min, s_find, s_format, t_concat = math.huge, math.min, string.find, string.format, table.concat;

-- Seconds after which a page ends, because Prosody has one thread and other connections wait. In this time, 13,000
-- ids are compared or 2,500 are written. In a much shorter page, the stanzas would cost as much as their content.
local max_page_time = 0.002;
-- Bytes of text after which a page ends. Prosody 13.0 cuts off a reply of more than 4 MiB, and its stream is
-- unusable from then on.
local max_page_bytes = 48 * 1024;
-- Bytes of text in one element. XML parsers are fastest with a few KB in one text node.
local element_size = 4096;
-- Bytes of the attribute `since` in a request. A reader puts further change numbers into its next request.
local max_since = 8 * 1024;

-- Returns the default if there is no text, and nil if the text is not a whole number of at most 15 digits.
local function parse_whole_number(text, default)
	if text == nil then return default; end
	return #text <= 15 and text:match("^%d+$") and tonumber(text) or nil;
end

-- Parses `since`. For example, `41:700 42:1900 43` is change number 41 up to id 700, 42 from there to 1900, and 43
-- for all other ids. Returns { last id, change number, … }, or nil if the text is malformed.
local function parse_cursors(text)
	if #text > max_since then return nil; end
	local cursors, n = {}, 0;
	for item in text:gmatch("%S+") do
		local since, last = item:match("^(%d+):?(%d*)$");
		since, last = parse_whole_number(since or ""), last == "" and m_huge or parse_whole_number(last or "");
		if not since or not last then return nil; end
		cursors[n + 1], cursors[n + 2], n = last, since, n + 2;
	end
	return n > 0 and cursors or nil;
end

-- Whether a request is the first one of a run.
local function is_start(attr)
	return parse_whole_number(attr.first, 1) == 1;
end

-- Returns the request that these attributes describe, or nil if they are malformed.
local function parse_request(attr)
	local first, last = parse_whole_number(attr.first, 1), parse_whole_number(attr.last, m_huge);
	local cursors = parse_cursors(attr.since or "0");
	if not first or first < 1 or not last or not cursors then return nil; end
	return { epoch = attr.epoch; first = first; last = last; cursors = cursors };
end

-- Returns the payload of the answer, still without children, and a list with the text of each <lines/> child.
local function build(index, request, xmlns)
	local started = os_clock();
	local payload, texts = st.stanza("statistics", { xmlns = xmlns }), {};
	local buffer, total = {}, 0;
	local function is_over()
		return os_clock() - started >= max_page_time;
	end
	local function flush(count)
		if count == 0 then return false; end
		local text = t_concat(buffer, "", 1, count);
		texts[#texts + 1] = text;
		total = total + #text;
		return total >= max_page_bytes or is_over();
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

-- Adds a <lines/> child to the payload for each text.
local function add_lines(payload, texts)
	for _, text in ipairs(texts) do
		-- text_tag() would validate each byte again, but the lines are escaped already.
		local lines = st.stanza("lines");
		lines[1] = text;
		payload:add_direct_child(lines);
	end
end

-- Serializes a reply whose innermost element is the payload, with a <lines/> child for each text. This saves a fifth
-- of the time that a full page takes with tostring(), which looks for five characters in all of the text.
local function serialize(reply, texts)
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

return { add_lines = add_lines; build = build; is_start = is_start; parse_request = parse_request; serialize = serialize; };
