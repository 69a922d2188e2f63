-- Adds up the statistics of Prosody 0.10 and 0.11, which have no metric registry. In these versions, core.statsmanager
-- collects every statistics_interval seconds, and each time starts rates and durations again from 0. This library adds
-- the collected values to metrics in a registry of mod_adhoc_statistics (legacy_registry.lib.lua).
--
-- A stat is a value that Prosody 0.10 and 0.11 measure, with a name such as "/host/mod_name/stat:kind". The metric has
-- the name that Prosody 0.12 gives to metrics made with module:measure (legacy_metric_wrappers in core.statsmanager):
-- "prosody_", the name of the stat, and a unit. README.md has a table of these names.

local logger = require "util.logger".init("adhoc_statistics");
local registry_lib = module:require "legacy_registry";

local ipairs, pairs, tostring = ipairs, pairs, tostring;
local t_concat, t_sort, unpack = table.concat, table.sort, table.unpack or unpack; -- luacheck: ignore 113 143

-- Increase the number in this text when you change the fields of the state of this library. After a reload, a state that
-- older code created with another layout is replaced.
local layout = "1/"..registry_lib.layout;

-- For each kind of stat: the type of its metric, and the word for the kind in the help text, both as in Prosody 0.12.
-- Stats of other kinds become gauges. prosody-exporter searches help texts for these words and for "in the last interval
-- of statistics", so the texts must not change.
local kinds = {
	rate = { type = "counter", word = "counter" };
	duration = { type = "summary", word = "times" };
	size = { type = "summary", word = "sizes" };
	distribution = { type = "summary", word = "distribution" };
};

local no_extra = {};

-- prosody-exporter searches this error message for "switched off" and for the value of statistics_interval.
local switched_off = 'Statistics are switched off in Prosody: set statistics = "internal" and statistics_interval = 15 '
	.."in the global section of prosody.cfg.lua, above the first VirtualHost, and restart Prosody";
local not_collected = "Prosody has not collected statistics yet: before 0.12 it collects every statistics_interval "
	..'seconds, and values can be read only with statistics = "internal"';

-- On Prosody 0.12, the metrics of mod_measure_stanza_counts have labels for the session type and the stanza kind. On
-- 0.11, both are parts of the stat's name, for example "stanza_counts.incoming_c2s_message".
local directions = { incoming = "received"; outgoing = "sent" };
local function relabel(name)
	local direction, session_type, stanza_kind = name:match("^stanza_counts%.(%l+)_(%w+)_(%w+)$");
	if directions[direction] then
		return "mod_measure_stanza_counts/"..directions[direction],
			{ "session_type", "stanza_kind" }, { session_type, stanza_kind };
	end
end

-- Parses the name of a stat: "/host/mod_name/stat:kind" or "any.name:kind". The host * means that the stat belongs to no
-- host. Returns kind, name, label keys and label values.
local function parse(stat)
	local path, kind = stat:match("^(.*):(%a+)$");
	path = path or stat;
	local host, name = path:match("^/([^/]+)/([^/]+/.+)$");
	if host and host ~= "*" then
		return kind, name, { "host" }, { host };
	end
	name = name or path;
	local new_name, label_keys, label_values = relabel(name);
	return kind, new_name or name, label_keys or {}, label_values or {};
end

-- Creates the metric with the given name and the labels in `spec`. Returns nil if another stat already uses that metric,
-- or if the metric family of that name has another type or other label keys.
local function try_metric(self, name, spec)
	local full_name = spec.unit ~= "" and name.."_"..spec.unit or name;
	local key = full_name.."\0"..t_concat(spec.label_values, "\0");
	local _, is_other = self.registry:find(spec.type, full_name, spec.label_keys);
	if self.taken[key] or is_other then return; end
	self.taken[key] = true;
	local family = self.registry:metric(spec.type, name, spec.unit, spec.description, spec.label_keys);
	return family:with_labels(unpack(spec.label_values));
end

-- Creates a metric for a stat. If another stat already uses the name (for example "a:amount" and "a:rate"), the name of
-- the new metric gets the stat's kind as a suffix.
local function new_metric(self, stat, name, kind, suffix, spec)
	local metric = try_metric(self, "prosody_"..name..suffix, spec)
		or try_metric(self, "prosody_"..name.."_"..tostring(kind)..suffix, spec);
	if not metric then
		logger("warn", "Not exporting the statistic %s, because other statistics already use both names that its metric could have", stat);
	end
	return metric or { value = 0; _sum = 0; _count = 0 };
end

-- Creates the metrics of a stat. Every stat has a metric for its current value. Depending on its kind, a stat also has
-- metrics for its count, sum, minimum and maximum.
local function create_metrics(self, stat, extra)
	local kind, name, label_keys, label_values = parse(stat);
	-- If the statistics provider does not count events, as a third-party provider may do, the stat becomes a gauge.
	local spec = extra and extra.count and kinds[kind] or { type = "gauge", word = "amount" };
	local unit = spec.type == "summary" and extra.units or "";
	local function metric(type_, suffix, description)
		-- The registry appends a unit at the end of the name. For a metric with a suffix such as "_min", the unit is put
		-- before the suffix here, and the registry gets no unit.
		local is_plain = suffix == "";
		return new_metric(self, stat, name, kind, (is_plain or unit == "") and suffix or "_"..unit..suffix, {
			type = type_;
			unit = is_plain and unit or "";
			description = name.." "..description;
			label_keys = label_keys;
			label_values = label_values;
		});
	end
	local record = {};
	if spec.type == "gauge" then
		record.value = metric("gauge", "", spec.word);
	elseif spec.type == "counter" then
		record.counter = metric("counter", "", spec.word);
		record.counter._created = self.listening_since;
		record.value = metric("gauge", "_per_second", "in the last interval of statistics");
	else
		record.summary = metric("summary", "", spec.word.."; the sum is an estimate from a sample, by default one event in five");
		record.summary._created = self.listening_since;
		record.unsampled = 0;
		record.value = metric("gauge", "_average", "on average in the last interval of statistics, of a sample");
		record.min = metric("gauge", "_min", "at least in the last interval of statistics, of a sample");
		record.max = metric("gauge", "_max", "at most in the last interval of statistics, of a sample");
	end
	return record;
end

-- Adds the values that core.statsmanager collected to the metrics. `now` is the time of the collection. It is nil if
-- Prosody collected before this module was loaded; then the metrics get the current values, but no events are counted.
local function update(self, collected, extras, now)
	local new = {};
	for stat in pairs(collected) do
		if not self.stats[stat] then new[#new + 1] = stat; end
	end
	-- With a fixed order, it is always the same one of two stats of the same name that gets its kind as a suffix.
	t_sort(new);
	for _, stat in ipairs(new) do
		self.stats[stat] = create_metrics(self, stat, extras[stat]);
	end
	for stat, value in pairs(collected) do
		local record, extra = self.stats[stat], extras[stat] or no_extra;
		local count = now and extra.count or 0;
		record.value.value = value;
		if record.counter then
			record.counter.value = record.counter.value + count;
		elseif record.summary then
			local summary = record.summary;
			summary._count = summary._count + count;
			record.unsampled = record.unsampled + count;
			-- If no event of an interval was sampled, its events are added to the sum in the next interval with a sample: an
			-- event that begins in one interval may end, and be sampled, in the next one.
			if extra.average and (extra.sample_count or 0) > 0 then
				summary._sum = summary._sum + extra.average * record.unsampled;
				record.unsampled = 0;
			end
			record.min.value, record.max.value = extra.min, extra.max;
		end
	end
	local registry = self.registry;
	registry.failure = nil;
	if now then
		self.listening_since = now;
		if registry.adhoc_statistics then registry.adhoc_statistics.updated = now; end
	end
end

-- Returns the metric registry for this Prosody process. The first call creates it. If statistics are switched off in
-- Prosody, returns nil and an error message that names the options to set.
--
-- The state of this library is a field of core.statsmanager. One handler of "stats-updated" updates it, even if several
-- instances of mod_adhoc_statistics are loaded. A reload of the module replaces the code that the handler calls, so no
-- collection is missed.
local function get_registry(statsman, time_now)
	-- If statistics are switched off, measure() accepts any kind of stat. Otherwise it raises an error for an unknown
	-- kind.
	if pcall(statsman.measure, "no such kind", "adhoc_statistics") then
		return nil, switched_off;
	end
	local state = statsman.adhoc_statistics;
	if not state then
		prosody.events.add_handler("stats-updated", function (event)
			local current = statsman.adhoc_statistics;
			-- pcall is necessary because after an error in this handler, core.statsmanager would never collect again.
			local ok, err = pcall(current.update, current, event.stats, event.stats_extra, time_now());
			if not ok then
				current.registry.failure = "Reading the collected statistics failed, see Prosody's log";
				logger("error", "Reading the collected statistics failed: %s", err);
			end
		end);
	end
	if not state or state.layout ~= layout then
		state = {
			layout = layout;
			registry = registry_lib.new_registry(time_now);
			stats = {}; -- maps the name of each stat to its metrics, which create_metrics() returned
			taken = {}; -- a set of the metrics that stats use: each key is the name of a family and label values
			listening_since = time_now();
		};
		statsman.adhoc_statistics = state;
		state.registry.failure = not_collected;
		local collected, _, extras = statsman.get_stats();
		if next(collected) ~= nil then update(state, collected, extras); end
	end
	state.update = update;
	setmetatable(state.registry, registry_lib.registry_mt);
	return state.registry;
end

return { get_registry = get_registry };
