-- The index of Prosody's metric registry. Every metric has a number (its id) within an epoch, and every change has a
-- place in one sequence of change numbers. So a reader that sends its last change number gets only later changes.
--
-- A process has one index. It is a field of the registry, and all instances of the module share it. util.openmetrics
-- is wrapped once and never unwrapped: if one instance restored the original functions, the index of the others would
-- miss new metrics. The wrappers look up the index at each call. So after a reload, the new code continues with a
-- complete index, without a new epoch and without a walk over the registry.
--
-- The terms are those of util.openmetrics: a metric family has metrics, one for each set of label values.

local new_id = require "util.uuid".generate;
local text = module:require "text";
local escape, format_number, format_time = text.escape, text.format_number, text.format_time;

local getmetatable, setmetatable, ipairs, pairs = getmetatable, setmetatable, ipairs, pairs;
local type = type;
local m_max, m_min, s_format, t_concat = math.max, math.min, string.format, table.concat;
local unpack = table.unpack or unpack; -- luacheck: ignore 113 143

-- Increase this when the fields of the index change. An index with another layout is rebuilt.
local layout = 3;

-- Bytes after which a help text is cut off. Prosody's own help texts are one sentence each.
local max_help = 4096;
-- Bytes of labels above which a series is omitted, so that one line can't fill a whole reply. If the line of a family
-- (names of labels, bounds) is longer than this, all its series are omitted.
local max_text = 32768;
-- Number of ids between two looks at the clock. If nothing changed, reading them takes some 50 µs.
local clock_stride = 256;
-- Number of value lines that one string.format writes. A single line has up to 40 bytes, so Lua would add it to its
-- table of short strings, which takes longer.
local batch_size = 32;
local value_line = "%d\t%.14g\n";
local batch_format = value_line:rep(batch_size);

local index_mt = {};
index_mt.__index = index_mt;

-- Stands in `last_value` for a metric that was never read. NaN is unequal to every value, including nil and false.
local never_read = 0/0;

local function new_index(registry)
	local index = setmetatable({
		layout = layout;
		registry = registry;
		epoch = new_id();
		-- latest change number; each page gets the next one
		change = 0;
		-- ids are 1..size; the tables below are indexed by id
		size = 0;
		metric = {};
		family = {}; -- the family's record in families[]
		labels = {}; -- escaped label values, each after a tab; false if they are too long
		last_value = {}; -- value (counter, gauge) or _count (histogram, summary) when last read
		last_sum = {};
		last_created = {};
		changed_at = {}; -- change number at which a different value was found
		defined_at = {}; -- change number at which the series was new, or had a different _created
		-- metric family object -> record with id, name, line, …
		families = {};
		last_family_id = 0;
	}, index_mt);
	for name, family in pairs(registry.families) do
		index:add_family(name, family, true);
	end
	return index;
end

function index_mt:add_metric(family, metric, label_values)
	local record = self.families[family];
	if not record then return; end -- the family was replaced and is no longer in the registry
	local values, length = {}, 0;
	-- Copy the label values now: util.openmetrics appends the metric to this table later.
	for i = 1, record.label_count do
		values[i] = "\t"..escape(label_values[i]);
		length = length + #values[i];
	end
	local id = self.size + 1;
	self.size = id;
	self.metric[id] = metric;
	self.family[id] = record;
	self.labels[id] = length <= max_text and t_concat(values);
	self.last_value[id] = never_read;
end

function index_mt:add_family(name, family, has_metrics)
	local label_keys = family.label_keys;
	self.last_family_id = self.last_family_id + 1;
	self.families[family] = {
		id = self.last_family_id;
		name = name;
		family = family;
		label_count = #label_keys;
		has_count = family.type_ == "histogram" or family.type_ == "summary";
		line = nil; -- set by format_family_line() when first needed
	};
	if #label_keys == 0 then
		self:add_metric(family, family.data, {});
	elseif has_metrics then
		for label_values, metric in family:iter_metrics() do
			self:add_metric(family, metric, label_values);
		end
	end
end

-- Called when the registry has replaced a family with one of another type or with other labels. Changes can't express
-- that, so a new epoch makes the readers start again.
function index_mt:drop_family(family)
	local record = self.families[family];
	if not record then return; end
	self.families[family] = nil;
	record.is_dropped = true;
	self.has_dropped = true;
	self.epoch = new_id();
end

-- Removes the series of dropped families, so that ids have no gaps. A reload may drop many families, so this is done
-- once, when the next request arrives.
function index_mt:remove_dropped()
	if not self.has_dropped then return; end
	self.has_dropped = false;
	local metric, family, labels, last_value = self.metric, self.family, self.labels, self.last_value;
	local last_sum, last_created, changed_at, defined_at = self.last_sum, self.last_created, self.changed_at, self.defined_at;
	local new_size = 0;
	for id = 1, self.size do
		if not family[id].is_dropped then
			new_size = new_size + 1;
			local to = new_size;
			if to < id then
				metric[to], family[to], labels[to], last_value[to] = metric[id], family[id], labels[id], last_value[id];
				last_sum[to], last_created[to], changed_at[to], defined_at[to] =
					last_sum[id], last_created[id], changed_at[id], defined_at[id];
			end
		end
	end
	for id = new_size + 1, self.size do
		metric[id], family[id], labels[id], last_value[id] = nil, nil, nil, nil;
		last_sum[id], last_created[id], changed_at[id], defined_at[id] = nil, nil, nil, nil;
	end
	self.size = new_size;
end

-- Sets record.line: F, id, type, name, unit, help, number of labels, names of labels, upper bounds of a histogram.
local function format_family_line(record, metric)
	local family = record.family;
	local fields = {
		"F", record.id, family.type_, escape(record.name), escape(family.unit or ""),
		escape((family.description or ""):sub(1, max_help)), record.label_count
	};
	for _, key in ipairs(family.label_keys) do
		fields[#fields + 1] = escape(key);
	end
	for _, bucket in ipairs(metric) do
		fields[#fields + 1] = escape(bucket.threshold_s);
	end
	record.line = t_concat(fields, "\t").."\n";
	if #record.line > max_text then
		record.is_too_long = true;
		record.line = t_concat({ "F", record.id, family.type_, escape(record.name:sub(1, max_help)), "", "", 0 }, "\t").."\n";
	end
end

-- Returns the values of one metric, separated by tabs. It does not use iter_samples(), which yields nothing with the
-- statsd provider and allocates memory.
local function format_values(record, metric)
	if not record.has_count then
		return format_number(metric.value);
	end
	local values = { format_number(metric._sum), format_number(metric._count) };
	for i, bucket in ipairs(metric) do
		values[i + 2] = format_number(bucket.count);
	end
	return t_concat(values, "\t");
end

-- Returns the lines that define a series. The line of its family comes first, unless `defined_families` has it already.
function index_mt:format_definition(id, defined_families)
	local record, metric = self.family[id], self.metric[id];
	local family_line = "";
	if not defined_families[record] then
		defined_families[record] = true;
		if not record.line then format_family_line(record, metric); end
		family_line = record.line;
	end
	if record.is_too_long then
		self.labels[id] = false;
	end
	local labels = self.labels[id];
	if not labels then
		return family_line.."X\t"..id.."\t"..record.id.."\n";
	end
	local created, value = metric._created, format_values(record, metric);
	if type(created) == "number" and type(value) == "number" then
		return family_line..s_format("S\t%d\t%d\t%.17g%s\t%.14g\n", id, record.id, created, labels, value);
	end
	created = created and format_time(created) or "";
	return family_line.."S\t"..id.."\t"..record.id.."\t"..created..labels.."\t"..value.."\n";
end

-- Reads the ids first..last, and puts a line into `buffer` for each series that changed after the reader's cursor.
-- Cursors are { last id, change number, last id, change number, … }. After every `element_size` bytes, this calls
-- flush(number of lines). The page ends early if `flush` or `is_over` returns true. Returns the last id read.
--
-- It allocates nothing for a metric that did not change, because the longest pauses of Prosody come from its garbage
-- collector.
function index_mt:read(first, last, cursors, buffer, element_size, flush, is_over)
	local change = self.change + 1;
	self.change = change;
	local metrics, last_value, last_sum, last_created = self.metric, self.last_value, self.last_sum, self.last_created;
	local changed_at, defined_at, labels = self.changed_at, self.defined_at, self.labels;
	local defined_families, is_full, last_read = {}, false, first - 1;
	local count, bytes, pending, values = 0, 0, 0, {};
	for c = 1, #cursors, 2 do
		local upto, since = m_min(cursors[c], last), cursors[c + 1];
		for id = last_read + 1, upto do
			local metric = metrics[id];
			local value, sum = metric.value, nil;
			if value == nil then
				value, sum = metric._count, metric._sum;
			end
			if value ~= last_value[id]
			or sum ~= nil and (sum ~= last_sum[id] or metric._created ~= last_created[id]) then
				if not defined_at[id] or metric._created ~= last_created[id] then
					last_created[id] = metric._created;
					defined_at[id] = change;
				end
				last_value[id], last_sum[id] = value, sum;
				changed_at[id] = change;
			end
			if changed_at[id] > since then
				local line, value_text;
				if defined_at[id] > since then
					line = self:format_definition(id, defined_families);
				elseif labels[id] then
					value_text = sum == nil and format_number(value) or format_values(self.family[id], metric);
					if type(value_text) == "string" then
						line = id.."\t"..value_text.."\n";
					else
						values[pending + 1], values[pending + 2] = id, value_text;
						pending = pending + 2;
						if pending == 2 * batch_size then
							line, pending = s_format(batch_format, unpack(values, 1, 2 * batch_size)), 0;
						end
					end
				end
				if line then
					count = count + 1;
					buffer[count] = line;
					bytes = bytes + #line;
					if bytes >= element_size then
						is_full = flush(count);
						count, bytes = 0, 0;
					end
				end
			end
			if is_full or id % clock_stride == 0 and is_over() then
				last = id;
				break;
			end
		end
		last_read = m_max(last_read, m_min(upto, last));
	end
	if pending > 0 then
		count = count + 1;
		buffer[count] = s_format(value_line:rep(pending / 2), unpack(values, 1, pending));
	end
	flush(count);
	return last_read;
end

local function wrap(registry)
	function registry:register_metric_family(name, family)
		local known = self.families[name];
		local registered = getmetatable(self).register_metric_family(self, name, family);
		local index = self.adhoc_statistics;
		if index and registered ~= known then
			if known then index:drop_family(known); end
			index:add_family(name, registered);
		end
		return registered;
	end

	-- All families share one metatable, which util.openmetrics does not export.
	local new_metric_registry = require "util.openmetrics".new_metric_registry;
	local any_family = new_metric_registry({ gauge = function () return {}; end }):gauge("any");
	local family_mt = getmetatable(any_family);
	local new_metric = family_mt.new_metric;
	function family_mt:new_metric(label_values)
		local metric = new_metric(self, label_values);
		local index = registry.adhoc_statistics;
		if index then index:add_metric(self, metric, label_values); end
		return metric;
	end
end

-- Returns the index of this process. The first call builds it.
local function get_index(registry)
	local index = registry.adhoc_statistics;
	-- The registry in legacy_registry.lib.lua updates the index by itself.
	if not index and not registry.is_legacy then
		wrap(registry);
	end
	if not index or index.layout ~= layout then
		index = new_index(registry);
		registry.adhoc_statistics = index;
	end
	return setmetatable(index, index_mt);
end

return { get_index = get_index };
