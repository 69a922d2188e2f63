-- A metric registry for Prosody 0.10 and 0.11, which have none: there core.statsmanager collects every
-- statistics_interval seconds, and rates and durations begin anew each time. What it tells is added
-- up here, in a registry of our own (legacy_registry.lib.lua).
--
-- Names are those that 0.12 gives to what is measured in the old way (core.statsmanager there,
-- legacy_metric_wrappers): "prosody_", the stat's own name, and a unit. README.md has the table.

local logger = require "util.logger".init("adhoc_statistics");
local registry_lib = module:require "legacy_registry";

local ipairs, pairs, tostring = ipairs, pairs, tostring;
local t_concat, t_sort, unpack = table.concat, table.sort, table.unpack or unpack; -- luacheck: ignore 113 143

-- Raised when the shape of what is kept here changes.
local layout = "1/"..registry_lib.layout;

-- What 0.12 makes of a kind, and what it calls it in its help. Every other kind is an amount.
local kinds = {
	rate = { type = "counter", word = "counter" };
	duration = { type = "summary", word = "times" };
	size = { type = "summary", word = "sizes" };
	distribution = { type = "summary", word = "distribution" };
};

local no_extra = {};

local off = 'Prosody keeps no statistics: set statistics = "internal" and statistics_interval = 15 '
	.."in the global section of prosody.cfg.lua, above the first VirtualHost, and restart Prosody";
local not_collected = "Prosody has not collected statistics yet: before 0.12 it does every statistics_interval "
	..'seconds, and keeps nothing to read unless statistics = "internal"';

-- mod_measure_stanza_counts has labels in 0.12 for what was part of the name.
local directions = { incoming = "received"; outgoing = "sent" };
local function relabel(name)
	local direction, session_type, stanza_kind = name:match("^stanza_counts%.(%l+)_(%w+)_(%w+)$");
	if directions[direction] then
		return "mod_measure_stanza_counts/"..directions[direction],
			{ "session_type", "stanza_kind" }, { session_type, stanza_kind };
	end
end

-- "/host/mod_name/stat:kind", where * is no host, or "any.name:kind".
--
-- Returns kind, name, names of labels and their values.
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

-- The metric of that name and labels, or nil if another stat has it or one of other type or labels.
local function try_metric(self, name, spec)
	local full_name = spec.unit ~= "" and name.."_"..spec.unit or name;
	local key = full_name.."\0"..t_concat(spec.label_values, "\0");
	local _, is_other = self.registry:find(spec.type, full_name, spec.label_keys);
	if self.taken[key] or is_other then return; end
	self.taken[key] = true;
	local family = self.registry:metric(spec.type, name, spec.unit, spec.description, spec.label_keys);
	return family:with_labels(unpack(spec.label_values));
end

-- Two stats may have one name, as "a:amount" and "a:rate" do: who comes second has its kind in it.
local function new_metric(self, stat, name, kind, suffix, spec)
	local metric = try_metric(self, "prosody_"..name..suffix, spec)
		or try_metric(self, "prosody_"..name.."_"..tostring(kind)..suffix, spec);
	if not metric then
		logger("warn", "No name is left for %s, so it is not shown", stat);
	end
	return metric or { value = 0; _sum = 0; _count = 0 };
end

-- What a stat's figures go to: `value` the one it has now, others what it is made of.
local function add_stat(self, stat, extra)
	local kind, name, label_keys, label_values = parse(stat);
	-- Without a count (a provider of one's own) there is nothing to add up.
	local known = extra and extra.count and kinds[kind] or { type = "gauge", word = "amount" };
	local unit = known.type == "summary" and extra.units or "";
	local function metric(type_, suffix, description)
		-- What comes after the unit is no part of it.
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
	if known.type == "gauge" then
		record.value = metric("gauge", "", known.word);
	elseif known.type == "counter" then
		record.counter = metric("counter", "", known.word);
		record.counter._created = self.listening_since;
		record.value = metric("gauge", "_per_second", "in the last interval of statistics");
	else
		record.summary = metric("summary", "", known.word.."; the sum is an estimate from a sample of them, one in five by default");
		record.summary._created = self.listening_since;
		record.unsampled = 0;
		record.value = metric("gauge", "_average", "on average in the last interval of statistics, of a sample");
		record.min = metric("gauge", "_min", "at least in the last interval of statistics, of a sample");
		record.max = metric("gauge", "_max", "at most in the last interval of statistics, of a sample");
	end
	return record;
end

-- Takes what statsmanager collected. `now` is nil when that was before anybody listened: events of
-- that interval don't count, since those of the intervals before can't.
local function update(self, collected, extras, now)
	local new = {};
	for stat in pairs(collected) do
		if not self.stats[stat] then new[#new + 1] = stat; end
	end
	-- Which of two stats takes a name is not left to chance.
	t_sort(new);
	for _, stat in ipairs(new) do
		self.stats[stat] = add_stat(self, stat, extras[stat]);
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
			-- One begun in this interval may be measured in the next.
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

-- The registry of this process, made when the first instance asks, or nil and the options to set.
--
-- What is kept hangs on statsmanager and listens once, whatever instances come and go: a module that
-- is reloaded brings its own code and misses nothing.
local function get_registry(statsman, time_now)
	-- With statistics off measure() takes anything; otherwise it knows its kinds.
	if pcall(statsman.measure, "no such kind", "adhoc_statistics") then
		return nil, off;
	end
	local kept = statsman.adhoc_statistics;
	if not kept then
		prosody.events.add_handler("stats-updated", function (event)
			local current = statsman.adhoc_statistics;
			-- An error would be statsmanager's: it would never collect again.
			local ok, err = pcall(current.update, current, event.stats, event.stats_extra, time_now());
			if not ok then
				current.registry.failure = "Reading what Prosody collected failed, see its log";
				logger("error", "Reading what Prosody collected failed: %s", err);
			end
		end);
	end
	if not kept or kept.layout ~= layout then
		kept = {
			layout = layout;
			registry = registry_lib.new_registry(time_now);
			stats = {}; -- by name in statsmanager: what its figures go to
			taken = {}; -- a family's name and label values -> true
			listening_since = time_now();
		};
		statsman.adhoc_statistics = kept;
		kept.registry.failure = not_collected;
		local collected, _, extras = statsman.get_stats();
		if next(collected) ~= nil then update(kept, collected, extras); end
	end
	kept.update = update;
	setmetatable(kept.registry, registry_lib.registry_mt);
	return kept.registry;
end

return { get_registry = get_registry };
