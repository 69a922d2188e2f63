-- Texts and numbers as the exchange writes them; README.md specifies it.

local tonumber, tostring, type = tonumber, tostring, type;
local s_byte, s_find, s_format, s_gsub = string.byte, string.find, string.format, string.gsub;
local utf8 = require "util.encodings".utf8;
-- COMPAT Prosody 0.10 may lack it: then all that is not ASCII is escaped.
local valid_utf8 = utf8 and utf8.valid or function () return false; end

local escapes = { ["\\"] = "\\\\", ["\t"] = "\\t", ["\n"] = "\\n", ["\r"] = "\\r" };

local function escape(c)
	return escapes[c] or s_format("\\x%02x", s_byte(c));
end

-- Any string as text that XML 1.0 (§2.2 Char) can carry and that has no tab or line feed of its own,
-- injectively: the reader gets the same bytes back.
local function clean(text)
	text = tostring(text);
	if not s_find(text, "[%c\\\128-\255]") then
		return text;
	end
	text = s_gsub(text, "[%c\\]", escape);
	-- U+FFFE and U+FFFF are valid UTF-8 and no XML characters
	if s_find(text, "[\128-\255]") and (not valid_utf8(text) or s_find(text, "\239\191[\190\191]")) then
		text = s_gsub(text, "[\128-\255]", escape);
	end
	return text;
end

-- A value as the shortest text that reads back as the same double; "" for what is not a number.
local function number(value)
	if type(value) ~= "number" then
		value = tonumber(value);
		if not value then return ""; end
	end
	local text = s_format("%.14g", value);
	if tonumber(text) == value then
		return text;
	end
	return s_format("%.17g", value);
end

-- A clean text, cut so that it can't fill a stanza that people read.
local function clip(text)
	if #text <= 200 then return text; end
	-- not in the middle of a character
	return (s_gsub(text:sub(1, 200), "[\192-\255][\128-\191]*$", "")).."…";
end

return { clean = clean; clip = clip; number = number; };
