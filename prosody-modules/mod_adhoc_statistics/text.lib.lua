-- Encodes texts and numbers for the exchange; README.md specifies the format.

local tonumber, tostring, type = tonumber, tostring, type;
local m_floor = math.floor;
local s_byte, s_find, s_format, s_gsub = string.byte, string.find, string.format, string.gsub;
local valid_utf8 = require "util.encodings".utf8.valid;

local escapes = { ["\\"] = "\\\\", ["\t"] = "\\t", ["\n"] = "\\n", ["\r"] = "\\r" };

local function escape_byte(c)
	return escapes[c] or s_format("\\x%02x", s_byte(c));
end

-- Escapes any string so that XML 1.0 can carry it (§2.2 Char) and it contains no tab or line feed. Two different
-- strings never give the same text, so the reader can restore the bytes.
local function escape(text)
	text = tostring(text);
	if not s_find(text, "[%c\\\128-\255]") then
		return text;
	end
	text = s_gsub(text, "[%c\\]", escape_byte);
	-- U+FFFE and U+FFFF are valid UTF-8, but not XML characters
	if s_find(text, "[\128-\255]") and (not valid_utf8(text) or s_find(text, "\239\191[\190\191]")) then
		text = s_gsub(text, "[\128-\255]", escape_byte);
	end
	return text;
end

-- Returns a number or string that reads back as the same double once it is concatenated; "" if the value is not a
-- number. Most values need at most 14 digits, as many as Lua itself writes. They are returned as numbers, which
-- takes a third of the time of string.format and tonumber.
local function format_number(value)
	if type(value) ~= "number" then
		value = tonumber(value);
		if not value then return ""; end
	end
	if value < 1e11 and value > -1e11 then
		-- In Lua 5.3 and later, floor returns an integer; a float would be written with `.0`.
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

-- Like format_number(), for timestamps. They rarely fit into 14 digits, so that form is not tried first.
local function format_time(value)
	return type(value) == "number" and s_format("%.17g", value) or format_number(value);
end

-- Shortens an escaped text to 200 bytes, for stanzas that people read.
local function truncate(text)
	if #text <= 200 then return text; end
	-- not in the middle of a character
	return (s_gsub(text:sub(1, 200), "[\192-\255][\128-\191]*$", "")).."…";
end

return { escape = escape; format_number = format_number; format_time = format_time; truncate = truncate; };
