-- The index of Prosody's metric registry: every metric has a number (its id) for as long as the
-- process lives, and every change a place in one sequence, so that a reader that remembers where it
-- was is told only what changed since.
--
-- There is one index in a process. It hangs on the registry object and is shared by every instance
-- of the module. util.openmetrics is wrapped once and never unwrapped: two instances that wrap and
-- restore would leave each other blind. The wrappers look the index up at each call, so a reloaded
-- module brings its own code and still finds the index complete: no new epoch, no walk.
--
-- Names as in util.openmetrics: a metric family has metrics, one for each set of label values.

local new_id = require "util.uuid".generate;
local text = module:require "text";
local clean, moment, number = text.clean, text.moment, text.number;

local getmetatable, setmetatable, ipairs, pairs = getmetatable, setmetatable, ipairs, pairs;
local type = type;
local m_max, m_min, s_format, t_concat = math.max, math.min, string.format, table.concat;
local unpack = table.unpack or unpack; -- luacheck: ignore 113 143

-- Raised when the shape of the index changes: an index made by other code is then built anew.
local layout = 2;

-- A help text longer than this is cut. Prosody's own are a sentence.
local max_help = 4096;
-- A series with more label text than this is left out, and so are all of a family whose description
-- (names of labels, bounds) is longer: one line must never fill a reply by itself.
local max_text = 32768;
-- Ids after which the reading of unchanged metrics looks at the clock: some 50 µs.
local stride = 256;
-- Values that are written out at once, by one string.format: strings of up to 40 bytes, which those
-- of single lines are, go through Lua's table of all short strings, and that takes longer.
local batch = 32;
local value_line = "%d\t%.14g\n";
local batch_format = value_line:rep(batch);

local index_mt = {};
index_mt.__index = index_mt;

-- Stands in `seen` for a metric that nobody has read yet: NaN is unequal to any value, nil and false
-- included.
local unseen = 0/0;

local function new_index(registry)
	local index = setmetatable({
		layout = layout;
		registry = registry;
		epoch = new_id();
		-- number of the latest change; raised at every page, at detection
		change = 0;
		-- ids are 1..size; the tables below are indexed by id
		size = 0;
		metric = {};
		family = {}; -- what families[] holds
		labels = {}; -- label values, cleaned, each after a tab; false: too long
		seen = {}; -- value (counter, gauge) or _count (histogram, summary) when last read
		seen_sum = {};
		seen_created = {};
		changed = {}; -- change number at which the value was last found different
		defined = {}; -- the same for what a definition line says
		-- metric family object -> { id, line, … }
		families = {};
		last_family = 0;
	}, index_mt);
	for name, family in pairs(registry.families) do
		index:add_family(name, family, true);
	end
	return index;
end

function index_mt:add_metric(family, metric, label_values)
	local record = self.families[family];
	if not record then return; end -- was replaced: no longer in the registry
	local values, length = {}, 0;
	-- Only the labels and only now: util.openmetrics appends the metric to this very table.
	for i = 1, record.label_count do
		values[i] = "\t"..clean(label_values[i]);
		length = length + #values[i];
	end
	local id = self.size + 1;
	self.size = id;
	self.metric[id] = metric;
	self.family[id] = record;
	self.labels[id] = length <= max_text and t_concat(values);
	self.seen[id] = unseen;
end

function index_mt:add_family(name, family, walk)
	local label_keys = family.label_keys;
	self.last_family = self.last_family + 1;
	self.families[family] = {
		id = self.last_family;
		name = name;
		family = family;
		label_count = #label_keys;
		has_count = family.type_ == "histogram" or family.type_ == "summary";
		line = nil; -- written when first needed, by describe()
	};
	if #label_keys == 0 then
		self:add_metric(family, family.data, {});
	elseif walk then
		for label_values, metric in family:iter_metrics() do
			self:add_metric(family, metric, label_values);
		end
	end
end

-- The registry replaced a family by one of another type or with other labels. Readers can't tell
-- from changes alone, so they start again: a new epoch.
function index_mt:drop_family(family)
	local record = self.families[family];
	if not record then return; end
	self.families[family] = nil;
	record.is_dropped = true;
	self.has_dropped = true;
	self.epoch = new_id();
end

-- Closes the gaps that dropped families left. A reload may drop many at once, so this waits for the
-- next reader and is done once.
function index_mt:settle()
	if not self.has_dropped then return; end
	self.has_dropped = false;
	local metric, family, labels, seen, seen_sum, seen_created, changed, defined =
		self.metric, self.family, self.labels, self.seen, self.seen_sum, self.seen_created, self.changed, self.defined;
	local kept = 0;
	for id = 1, self.size do
		if not family[id].is_dropped then
			kept = kept + 1;
			if kept < id then
				metric[kept], family[kept], labels[kept], seen[kept] = metric[id], family[id], labels[id], seen[id];
				seen_sum[kept], seen_created[kept], changed[kept], defined[kept] =
					seen_sum[id], seen_created[id], changed[id], defined[id];
			end
		end
	end
	for id = kept + 1, self.size do
		metric[id], family[id], labels[id], seen[id] = nil, nil, nil, nil;
		seen_sum[id], seen_created[id], changed[id], defined[id] = nil, nil, nil, nil;
	end
	self.size = kept;
end

-- F, id, type, name, unit, help, number of labels, their names, upper bounds of a histogram
local function describe(record, metric)
	local family = record.family;
	local fields = {
		"F", record.id, family.type_, clean(record.name), clean(family.unit or ""),
		clean((family.description or ""):sub(1, max_help)), record.label_count
	};
	for _, key in ipairs(family.label_keys) do
		fields[#fields + 1] = clean(key);
	end
	for _, bucket in ipairs(metric) do
		fields[#fields + 1] = clean(bucket.threshold_s);
	end
	record.line = t_concat(fields, "\t").."\n";
	if #record.line > max_text then
		record.is_too_long = true;
		record.line = t_concat({ "F", record.id, family.type_, clean(record.name:sub(1, max_help)), "", "", 0 }, "\t").."\n";
	end
end

-- The values of one metric, with tabs between. They are read directly: with the statsd provider
-- iter_samples() yields nothing, and here it would make garbage.
local function values_of(record, metric)
	if not record.has_count then
		return number(metric.value);
	end
	local values = { number(metric._sum), number(metric._count) };
	for i, bucket in ipairs(metric) do
		values[i + 2] = number(bucket.count);
	end
	return t_concat(values, "\t");
end

-- All that there is to tell of a metric, its family before it if that is not in `told` yet.
function index_mt:define(id, told)
	local record, metric = self.family[id], self.metric[id];
	local family_line = "";
	if not told[record] then
		told[record] = true;
		if not record.line then describe(record, metric); end
		family_line = record.line;
	end
	if record.is_too_long then
		self.labels[id] = false;
	end
	local labels = self.labels[id];
	if not labels then
		return family_line.."X\t"..id.."\t"..record.id.."\n";
	end
	local created, value = metric._created, values_of(record, metric);
	if type(created) == "number" and type(value) == "number" then
		return family_line..s_format("S\t%d\t%d\t%.17g%s\t%.14g\n", id, record.id, created, labels, value);
	end
	created = created and moment(created) or "";
	return family_line.."S\t"..id.."\t"..record.id.."\t"..created..labels.."\t"..value.."\n";
end

-- Reads the ids first..last and puts a line into `buffer` for each that changed after the reader's
-- cursor. Cursors are { last id, change number, last id, change number, … }. After every
-- `element_size` bytes `flush` is given the number of lines; it ends early when that or, now and then,
-- `is_over` says that the page is full. Returns the last id that was read.
--
-- Nothing is allocated for a metric that did not change: in Prosody the garbage collector sets the
-- longest pause, not this loop.
function index_mt:read(first, last, cursors, buffer, element_size, flush, is_over)
	local change = self.change + 1;
	self.change = change;
	local metrics, seen, seen_sum, seen_created = self.metric, self.seen, self.seen_sum, self.seen_created;
	local changed, defined, labels = self.changed, self.defined, self.labels;
	local told, is_full, read = {}, false, first - 1;
	local count, bytes, pending, values = 0, 0, 0, {};
	for c = 1, #cursors, 2 do
		local upto, since = m_min(cursors[c], last), cursors[c + 1];
		for id = read + 1, upto do
			local metric = metrics[id];
			local value, sum = metric.value, nil;
			if value == nil then
				value, sum = metric._count, metric._sum;
			end
			if value ~= seen[id]
			or sum ~= nil and (sum ~= seen_sum[id] or metric._created ~= seen_created[id]) then
				if not defined[id] or metric._created ~= seen_created[id] then
					seen_created[id] = metric._created;
					defined[id] = change;
				end
				seen[id], seen_sum[id] = value, sum;
				changed[id] = change;
			end
			if changed[id] > since then
				local line, value_text;
				if defined[id] > since then
					line = self:define(id, told);
				elseif labels[id] then
					value_text = sum == nil and number(value) or values_of(self.family[id], metric);
					if type(value_text) == "string" then
						line = id.."\t"..value_text.."\n";
					else
						values[pending + 1], values[pending + 2] = id, value_text;
						pending = pending + 2;
						if pending == 2 * batch then
							line, pending = s_format(batch_format, unpack(values, 1, 2 * batch)), 0;
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
			if is_full or id % stride == 0 and is_over() then
				last = id;
				break;
			end
		end
		read = m_max(read, m_min(upto, last));
	end
	if pending > 0 then
		count = count + 1;
		buffer[count] = s_format(value_line:rep(pending / 2), unpack(values, 1, pending));
	end
	flush(count);
	return read;
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

	-- All families share one metatable, which util.openmetrics keeps to itself.
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

-- The index of this process, made when the first instance asks.
local function get_index(registry)
	local index = registry.adhoc_statistics;
	-- legacy.lib.lua tells the index by itself.
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
