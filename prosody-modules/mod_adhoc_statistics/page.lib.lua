-- Parses a reader's request for statistics, and builds the answer: a page with the changed metrics in a range of ids.
-- README.md specifies the request and the answer.

local st = require "util.stanza";

local os_clock = os.clock;
local m_huge, m_min, s_find, s_format, t_concat = math.huge, math.min, string.find, string.format, table.concat;

-- A page of statistics ends after this number of seconds, because Prosody has one thread and other connections wait
-- meanwhile. In 2 ms, this module compares 13,000 metrics or writes 2,500. If pages were much shorter, the handling of
-- the stanzas would take as much time as the statistics in them.
local max_page_time = 0.002;
-- A page ends after this number of bytes of text. It is far below 4 MiB: Prosody 13.0 cuts off a longer reply, and the
-- stream of the component is then unusable.
local max_page_bytes = 48 * 1024;
-- Each <lines/> element of a page has about this number of bytes of text. XML parsers are fastest with text nodes of a
-- few KB.
local element_size = 4096;
-- The attribute `since` of a request may have at most this number of bytes. A reader with more change numbers puts the
-- others into its next request.
local max_since = 8 * 1024;

-- Returns `default` if `text` is nil. Returns nil if `text` is not a whole number of at most 15 digits.
local function parse_whole_number(text, default)
	if text == nil then return default; end
	return #text <= 15 and text:match("^%d+$") and tonumber(text) or nil;
end

-- Parses the attribute `since` of a request. For example, in `41:700 42:1900 43` the change number is 41 for the ids up
-- to 700, 42 for the ids from 701 to 1900, and 43 for all later ids. Returns { last id, change number, … }, or nil if
-- the text is malformed.
local function parse_since(text)
	if #text > max_since then return nil; end
	local known_changes, n = {}, 0;
	for item in text:gmatch("%S+") do
		local since, last = item:match("^(%d+):?(%d*)$");
		since, last = parse_whole_number(since or ""), last == "" and m_huge or parse_whole_number(last or "");
		if not since or not last then return nil; end
		known_changes[n + 1], known_changes[n + 2], n = last, since, n + 2;
	end
	return n > 0 and known_changes or nil;
end

-- Whether a request starts to read all metrics, from id 1 on. Among the requests for pages, only such a request makes
-- Prosody collect its statistics.
local function is_start(attr)
	return parse_whole_number(attr.first, 1) == 1;
end

-- Parses the attributes of the <statistics/> element of a request. Returns nil if one of them is malformed.
local function parse_request(attr)
	local first, last = parse_whole_number(attr.first, 1), parse_whole_number(attr.last, m_huge);
	local known_changes = parse_since(attr.since or "0");
	if not first or first < 1 or not last or not known_changes then return nil; end
	return { epoch = attr.epoch; first = first; last = last; known_changes = known_changes };
end

-- Builds the answer: returns the attributes of its <statistics/> element, and a list with the text of each <lines/> child.
local function build(index, request, xmlns)
	local started = os_clock();
	local texts, buffer, total = {}, {}, 0;
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
	local known_changes = request.epoch == index.epoch and request.known_changes or { m_huge, 0 };
	local last = index:read(request.first, m_min(request.last, index.size), known_changes, buffer, element_size, flush, is_over);

	return {
		xmlns = xmlns;
		epoch = index.epoch;
		change = s_format("%d", index.change);
		size = s_format("%d", index.size);
		last = s_format("%d", last);
		updated = index.updated and s_format("%.3f", index.updated);
	}, texts;
end

-- Returns the answer as a <statistics/> element.
local function to_stanza(attr, texts)
	local payload = st.stanza("statistics", attr);
	for _, text in ipairs(texts) do
		-- The text is not added with text_tag(), which would validate each byte although the lines are already escaped.
		local lines = st.stanza("lines");
		lines[1] = text;
		payload:add_direct_child(lines);
	end
	return payload;
end

-- Escapes a text for XML. Most texts of an answer need no escapes, and string.find() takes less time than xml_escape().
local function escape_xml(text)
	return s_find(text, "[&<>'\"]") and st.xml_escape(text) or text;
end

-- Returns the text of the whole reply to `stanza`, with <command/> and <statistics/>. This takes a third of the time in
-- which Prosody would build and serialize the elements of the reply. The text is one expression, for which Lua creates
-- no table and no other strings: the garbage collector is a large part of the cost of a reply.
local function serialize(stanza, xmlns_command, attr, texts)
	for i, text in ipairs(texts) do texts[i] = escape_xml(text); end
	return "<iq type='result' id='"..escape_xml(stanza.attr.id)
		.."' from='"..escape_xml(stanza.attr.to).."' to='"..escape_xml(stanza.attr.from)
		.."'><command xmlns='"..xmlns_command.."' node='"..attr.xmlns.."' status='completed'><statistics xmlns='"..attr.xmlns
		.."' epoch='"..attr.epoch.."' change='"..attr.change.."' size='"..attr.size.."' last='"..attr.last
		..(attr.updated and "' updated='" or "")..(attr.updated or "")
		..(texts[1] and "'><lines>" or "'>")..t_concat(texts, "</lines><lines>")..(texts[1] and "</lines>" or "")
		.."</statistics></command></iq>";
end

return { build = build; is_start = is_start; parse_request = parse_request; serialize = serialize; to_stanza = to_stanza; };
