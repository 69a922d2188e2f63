-- The index of Prosody's metric registry. Every metric has a number (its id), which is valid until the epoch of the
-- index changes. Every change of a metric has a number too: that of the page for which the change was found. A reader
-- sends the number of the last change that it knows, and gets only later changes.
--
-- A Prosody process has one index. It is a field of the metric registry, and all instances of mod_adhoc_statistics
-- share it. This library wraps functions of util.openmetrics once, and never restores the originals: if one instance
-- restored them, the index would miss the metrics that other instances need. The wrappers look up the index at each
-- call. So when the module is reloaded, the new code continues with the existing index.
--
-- The words family, metric and label have the same meaning as in util.openmetrics: a metric family has one metric for
-- each set of label values.

local new_id = require "util.uuid".generate;
local text = module:require "text";
local escape, format_number, format_time = text.escape, text.format_number, text.format_time;

local getmetatable, setmetatable, ipairs, pairs = getmetatable, setmetatable, ipairs, pairs;
local type = type;
local m_min, s_format, t_concat = math.min, string.format, table.concat;
local unpack = table.unpack or unpack; -- luacheck: ignore 113 143

-- Increase this number when you change the fields of the index. After a reload, an index that older code built with
-- another number is replaced by a new one.
local layout = 4;

-- A help text is cut off after this number of bytes. The help texts of Prosody itself are shorter: one sentence each.
local max_help = 4096;
-- A series with more than this number of bytes of labels is omitted, so that one line can't fill a whole reply. If the
-- line that describes a family (name, help text, label names, bucket bounds) is longer, all series of the family are
-- omitted.
local max_text = 32768;
-- index:read() reads the metrics in blocks of this number of ids, and checks the time after each block. It reads 256
-- unchanged metrics in some 30 µs.
local block_size = 256;
-- One call of string.format writes this number of value lines. That is faster than one call for each line, because a
-- line has up to 40 bytes, and Lua stores every string of that length in a table of short strings.
local batch_size = 32;
local value_line = "%d\t%.14g\n";
local batch_format = value_line:rep(batch_size);
-- The numbers of one batch, the ids of the changed metrics of one block, and the values of one metric. All pages use these
-- tables, because new ones for each page would be garbage.
local batch, changed, metric_values = {}, {}, {};

local index_mt = {};
index_mt.__index = index_mt;

-- The entry in `last_value` for a metric that was never read. It is NaN, which is unequal to every value of a metric,
-- so the first read of the metric always finds a change.
local never_read = 0/0;

local function new_index(registry)
	local index = setmetatable({
		layout = layout;
		registry = registry;
		epoch = new_id();
		-- the latest change number; each page of statistics that is built increases it by 1
		change = 0;
		-- the number of metrics; their ids are 1..size, and the keys of the tables from metric to defined_at are ids
		size = 0;
		metric = {};
		family = {}; -- the record of the metric's family, from `families`
		labels = {}; -- the label values, escaped, with a tab before each; false if they are too long
		last_value = {}; -- at the last read: value of a counter or gauge, _count of a histogram or summary
		last_sum = {};
		last_created = {};
		changed_at = {}; -- the change number of the page that last found a different value
		defined_at = {}; -- the change number of the page that first had the metric or last found a different _created
		block_changed_at = {}; -- the greatest number in `changed_at` of each block; the key is the last id of the block
		-- maps each metric family object to its record: id, name, line and others
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
	if not record then return; end -- the metric's family was replaced and is no longer in the registry
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
		line = nil; -- format_family_line() sets this field when a page first needs it
	};
	if #label_keys == 0 then
		self:add_metric(family, family.data, {});
	elseif has_metrics then
		for label_values, metric in family:iter_metrics() do
			self:add_metric(family, metric, label_values);
		end
	end
end

-- Called when a module has replaced a metric family with one of another type or with other labels. Change numbers can't
-- express a removal. So the index starts a new epoch, and all readers read all series again.
function index_mt:drop_family(family)
	local record = self.families[family];
	if not record then return; end
	self.families[family] = nil;
	record.is_dropped = true;
	self.has_dropped = true;
	self.epoch = new_id();
end

-- Removes the metrics of replaced families, so that ids have no gaps. This is called when a request arrives, and not by
-- drop_family(), because the reload of a module may replace many families.
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
	for last in pairs(self.block_changed_at) do
		self.block_changed_at[last] = self.change;
	end
end

-- Sets record.line to the line that describes the family. Its fields are F, id, type, name, unit, help, number of
-- labels, label names, and the upper bounds of a histogram.
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

-- Returns the values of one metric, separated by tabs. The values are not read with iter_samples(), because that
-- allocates memory, and returns nothing with statistics = "statsd".
local function format_values(record, metric)
	if not record.has_count then
		return format_number(metric.value);
	end
	local values, count = metric_values, 2;
	values[1], values[2] = format_number(metric._sum), format_number(metric._count);
	for i, bucket in ipairs(metric) do
		count = i + 2;
		values[count] = format_number(bucket.count);
	end
	return t_concat(values, "\t", 1, count);
end

-- Returns the line that defines a series. Before it comes the line of the family, unless the family is in
-- `defined_families`, the set of the families whose lines are already in the page.
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

-- Compares a metric with its values at the last read. Returns whether they differ.
function index_mt:update_metric(id, metric, change)
	local value, sum = metric.value, nil;
	if value == nil then
		value, sum = metric._count, metric._sum;
	end
	local last_created = self.last_created;
	if value == self.last_value[id] and (sum == nil or sum == self.last_sum[id] and metric._created == last_created[id]) then
		return false;
	end
	if not self.defined_at[id] or metric._created ~= last_created[id] then
		last_created[id] = metric._created;
		self.defined_at[id] = change;
	end
	self.last_value[id], self.last_sum[id] = value, sum;
	self.changed_at[id] = change;
	return true;
end

-- Reads metrics of one block, and puts the ids of those that changed after the change number `since` into `changed`.
-- Returns the number of these ids.
--
-- This function allocates no memory for a metric that did not change, because the garbage collector causes the longest
-- pauses of Prosody.
function index_mt:read_block(first, last, block_last, since, change)
	local metrics, last_value, count = self.metric, self.last_value, 0;
	local has_changes = false;
	if (self.block_changed_at[block_last] or 0) <= since then
		-- No earlier page found a change that the reader does not know. So only the changes that this page finds count.
		for id = first, last do
			local metric = metrics[id];
			-- Histograms and summaries have no field `value`, so for them the condition is always true.
			if metric.value ~= last_value[id] and self:update_metric(id, metric, change) then
				count = count + 1;
				changed[count] = id;
			end
		end
		has_changes = count > 0;
	else
		local changed_at = self.changed_at;
		for id = first, last do
			local metric = metrics[id];
			if metric.value ~= last_value[id] and self:update_metric(id, metric, change) then
				has_changes = true;
			end
			if changed_at[id] > since then
				count = count + 1;
				changed[count] = id;
			end
		end
	end
	if has_changes then
		self.block_changed_at[block_last] = change;
	end
	return count;
end

-- Builds a page of statistics: reads the metrics with the ids first..last, and puts a line into `buffer` for each one
-- that changed after the change number in the request. `known_changes` has these change numbers and the id up to which
-- each is valid: { last id, change number, last id, change number, … }. After every `element_size` bytes, this function
-- calls flush(number of lines). The page ends early if `flush` or `is_over` returns true. Returns the last id read.
function index_mt:read(first, last, known_changes, buffer, element_size, flush, is_over)
	local change = self.change + 1;
	self.change = change;
	local metrics, labels, last_value, defined_at = self.metric, self.labels, self.last_value, self.defined_at;
	local defined_families, is_full, next_id = {}, false, first;
	local count, bytes, pending = 0, 0, 0;
	for c = 1, #known_changes, 2 do
		local upto, since = m_min(known_changes[c], last), known_changes[c + 1];
		while next_id <= upto do
			local block_last = next_id + block_size - 1 - (next_id - 1) % block_size;
			local block_upto = m_min(block_last, upto);
			local changed_count = self:read_block(next_id, block_upto, block_last, since, change);
			next_id = block_upto + 1;
			for i = 1, changed_count do
				local id = changed[i];
				local line, value;
				if defined_at[id] > since then
					line = self:format_definition(id, defined_families);
				elseif labels[id] then
					value = self.family[id].has_count and format_values(self.family[id], metrics[id]) or format_number(last_value[id]);
					if type(value) == "string" then
						line = id.."\t"..value.."\n";
					else
						batch[pending + 1], batch[pending + 2] = id, value;
						pending = pending + 2;
						if pending == 2 * batch_size then
							line, pending = s_format(batch_format, unpack(batch, 1, 2 * batch_size)), 0;
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
					if is_full then
						next_id = id + 1;
						break;
					end
				end
			end
			if is_full or next_id > block_last and is_over() then
				last = next_id - 1;
				break;
			end
		end
	end
	if pending > 0 then
		count = count + 1;
		buffer[count] = s_format(value_line:rep(pending / 2), unpack(batch, 1, pending));
	end
	flush(count);
	return next_id - 1;
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

	-- The metatable of all metric families is reached through a family, because util.openmetrics does not export it.
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

-- Returns the index of this Prosody process. The first call builds the index.
local function get_index(registry)
	local index = registry.adhoc_statistics;
	-- A registry of legacy_registry.lib.lua needs no wrappers, because it adds new metrics to the index itself.
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
