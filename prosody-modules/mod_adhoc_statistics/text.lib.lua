-- Encodes texts and numbers for the lines of a page of statistics. README.md specifies the format.

local tonumber, tostring, type = tonumber, tostring, type;
local m_floor = math.floor;
local s_byte, s_find, s_format, s_gsub = string.byte, string.find, string.format, string.gsub;
local valid_utf8 = require "util.encodings".utf8.valid;

local escapes = { ["\\"] = "\\\\", ["\t"] = "\\t", ["\n"] = "\\n", ["\r"] = "\\r" };

local function escape_byte(c)
	return escapes[c] or s_format("\\x%02x", s_byte(c));
end

-- Escapes a string of any bytes, so that the result is valid in XML 1.0 (§2.2 Char) and contains no tab or line feed.
-- Two different strings never have the same escaped text, so a reader of statistics can restore the bytes.
local function escape(text)
	text = tostring(text);
	if not s_find(text, "[%c\\\128-\255]") then
		return text;
	end
	text = s_gsub(text, "[%c\\]", escape_byte);
	-- U+FFFE and U+FFFF are valid UTF-8, but XML does not allow them.
	if s_find(text, "[\128-\255]") and (not valid_utf8(text) or s_find(text, "\239\191[\190\191]")) then
		text = s_gsub(text, "[\128-\255]", escape_byte);
	end
	return text;
end

-- Formats a value so that a reader gets the same double back. Most values have at most 14 digits, and Lua itself writes
-- 14 digits when a number is concatenated. So most such values are returned as numbers, which takes a third of the time
-- of string.format and tonumber. Other values are returned as strings. The result is "" if the value is not a number.
local function format_number(value)
	if type(value) ~= "number" then
		value = tonumber(value);
		if not value then return ""; end
	end
	if value < 1e11 and value > -1e11 then
		-- In Lua 5.3 and later, floor returns an integer; a float would be written with `.0`.
		local whole = m_floor(value);
		if whole == value and (whole ~= 0 or 1 / value > 0) then -- excludes -0.0, which floor would return as 0
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

-- Does the same as format_number(), but faster for timestamps: it does not try 14 digits first, which are rarely enough
-- for a timestamp.
local function format_time(value)
	return type(value) == "number" and s_format("%.17g", value) or format_number(value);
end

-- Shortens an escaped text to at most 200 bytes and `…`, for error texts and forms that people read.
local function truncate(text)
	if #text <= 200 then return text; end
	-- The pattern removes a UTF-8 character at the end that is not ASCII, because some of its bytes may be missing.
	return (s_gsub(text:sub(1, 200), "[\192-\255][\128-\191]*$", "")).."…";
end

return { escape = escape; format_number = format_number; format_time = format_time; truncate = truncate; };
