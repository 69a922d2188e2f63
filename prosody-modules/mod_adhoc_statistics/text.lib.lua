-- Texts and numbers as the exchange writes them; README.md specifies it.

local tonumber, tostring, type = tonumber, tostring, type;
local m_floor = math.floor;
local s_byte, s_find, s_format, s_gsub = string.byte, string.find, string.format, string.gsub;
local valid_utf8 = require "util.encodings".utf8.valid;

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

-- A value as what concatenation makes a text of that reads back as the same double; "" for what is
-- not a number. Most need no more than 14 digits, which is what Lua itself writes: they stay numbers,
-- in a third of the time that string.format and tonumber take.
local function number(value)
	if type(value) ~= "number" then
		value = tonumber(value);
		if not value then return ""; end
	end
	if value < 1e11 and value > -1e11 then
		-- an integer where Lua has them (5.3 and later); a float would get a `.0`
		local whole = m_floor(value);
		if whole == value and (whole ~= 0 or 1 / value > 0) then -- not -0.0
			return whole;
		end
		local thousandths = value * 1000;
		if thousandths % 1 == 0 and thousandths / 1000 == value and whole ~= value then
			return value;
		end
	end
	local text = s_format("%.14g", value);
	if tonumber(text) == value then
		return text;
	end
	return s_format("%.17g", value);
end

-- A time of day, which is rarely short.
local function moment(value)
	return type(value) == "number" and s_format("%.17g", value) or number(value);
end

-- A clean text, cut so that it can't fill a stanza that people read.
local function clip(text)
	if #text <= 200 then return text; end
	-- not in the middle of a character
	return (s_gsub(text:sub(1, 200), "[\192-\255][\128-\191]*$", "")).."…";
end

return { clean = clean; clip = clip; moment = moment; number = number; };
